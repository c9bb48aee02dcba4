"""Image-quality metrics, one a file: a pure function of two images, and the thin registered class that names it."""
