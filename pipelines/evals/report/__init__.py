"""Report of runs: what its page shows, the pictures, and the files."""
