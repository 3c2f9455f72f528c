"""Objectives: what training lowers, a file each."""
