"""Video in, frames out: probe, sample, decode and transform. Import from the modules; importing this package loads nothing."""
