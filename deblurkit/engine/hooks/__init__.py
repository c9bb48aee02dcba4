"""What happens around the iterations, one hook a file."""
