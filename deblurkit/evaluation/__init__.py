"""Scoring: what a number means in :mod:`protocols`, over a data set in :mod:`scoring`, in all in :mod:`evaluate`."""
