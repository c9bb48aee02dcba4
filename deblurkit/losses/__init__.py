"""Losses, one kind a file; functional.py has the pure functions behind the adversarial and perceptual ones."""
