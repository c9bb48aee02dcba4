"""Named ways of scoring: what they share in :mod:`protocol`, one published family a file beside it."""
