"""Batch jobs over many videos, resumable and on Ray, and the command line."""
