"""The page that `videollm report` writes: what it shows, its pictures, and the file itself."""
