"""Result rows and where they are kept."""
