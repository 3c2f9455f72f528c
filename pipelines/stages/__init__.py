"""What workers do with a clip."""
