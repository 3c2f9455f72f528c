"""Strategies, which search a long video for an answer: one per file."""
