"""The live page of a job: what its output folder says of it, served on this machine alone."""
