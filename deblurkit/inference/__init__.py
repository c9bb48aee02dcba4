"""From blurred to restored: tensors in :mod:`restore`, one image in :mod:`deblurrer`, image files in :mod:`photos`."""
