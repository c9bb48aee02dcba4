"""Weights that travel in the package, their cards, and the files in which weights are exchanged."""
