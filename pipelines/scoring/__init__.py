"""From raw model outputs to scores: pure functions on text, no model, no files."""
