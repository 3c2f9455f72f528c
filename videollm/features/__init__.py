"""Tower features kept on disk."""
