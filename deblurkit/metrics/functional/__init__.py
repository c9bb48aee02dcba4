"""Metrics as pure functions of two images, computed in float64 unless ``single`` is asked for."""
