"""A procedural world of coloured shapes: clips, captions and questions to train and test with, no download needed."""
