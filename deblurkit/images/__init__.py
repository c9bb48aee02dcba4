"""Image files: one reader and one writer for the whole library."""
