"""Readers of answers: strict choices, open-ended texts, and the benchmarks' official rules."""
