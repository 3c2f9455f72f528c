"""Frames of a video."""
