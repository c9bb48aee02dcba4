"""Hooks around the iterations, one a file."""
