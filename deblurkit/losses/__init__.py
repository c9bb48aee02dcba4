"""Loss terms: pure functions in functional.py, views of images, and thin registered classes."""
