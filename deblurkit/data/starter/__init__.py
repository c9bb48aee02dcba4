"""The photographs that the networks in the box are trained on: which they are, and how they are gathered again."""
