"""Data sets of blurred and sharp photographs."""
