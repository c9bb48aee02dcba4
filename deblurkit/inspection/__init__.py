"""The inside of a network: :mod:`looking` runs it, :mod:`drawing` draws, :mod:`photo` writes the files."""
