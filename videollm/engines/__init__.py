"""What runs the LLM: engines, and what they share."""
