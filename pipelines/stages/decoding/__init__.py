"""Decoding in a child process."""
