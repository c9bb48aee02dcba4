"""The page of a network's inner outputs."""
