"""Batch jobs from inputs to output."""
