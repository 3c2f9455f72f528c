"""Training: the embedded models, and a user's own connector."""
