"""What can be wrong with pairs of images, found before anything is trained on them."""
