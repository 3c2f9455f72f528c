"""Objectives, which training lowers: one file per objective."""
