"""Long videos: split into segments, answered by parts, and summed up."""
