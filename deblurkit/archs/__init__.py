"""Generators, one a file."""
