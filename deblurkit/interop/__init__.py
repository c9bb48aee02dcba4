"""Weight files of other projects, read as checkpoints of ours: :mod:`foreign` finds out what a file is."""
