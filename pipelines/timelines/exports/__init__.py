"""Rows of a job in forms that other tools read: one per file."""
