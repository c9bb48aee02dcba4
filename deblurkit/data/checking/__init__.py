"""Finding what is wrong with pairs of images before anything is trained on them."""
