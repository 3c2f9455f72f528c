"""Models: a tower, a connector and an LLM that answer together."""
