"""Pairs stored for speed: packed arrays that are read through memory maps, and LMDB."""
