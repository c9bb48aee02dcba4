"""From options to a running training: the training step, the loop and its hooks."""

from deblurkit.compat import import_mmengine

import_mmengine()  # before any module here imports a part of it, and with that all of it
