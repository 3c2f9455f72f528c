"""From raw answers to scores: parsers, metrics, statistics, tables."""
