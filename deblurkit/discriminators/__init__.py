"""Discriminators (critics), one a file."""
