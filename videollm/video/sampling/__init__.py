"""Which frames of a clip are looked at."""
