"""The page of a training: curves from ``scalars.jsonl`` and sample strips."""
