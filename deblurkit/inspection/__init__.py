"""What a network computes inside: :mod:`looking` runs it, :mod:`drawing` draws, :mod:`photo` writes the files."""
