"""Image-quality metrics: pure functions in :mod:`functional`, one thin registered class a file beside it."""
