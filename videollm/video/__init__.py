"""Video in, frames out: probe, sample, decode, transform. Import from its modules; the package loads nothing."""
