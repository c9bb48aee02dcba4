"""From options to a running training: the training step, the loop and its hooks."""
