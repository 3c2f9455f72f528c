"""How stages are run."""
