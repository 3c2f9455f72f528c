"""From decoded frames to the pictures that a tower takes."""
