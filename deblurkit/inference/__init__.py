"""From blurred to restored: tensors in :mod:`restore`, many within memory in :mod:`session`, files in :mod:`photos`."""
