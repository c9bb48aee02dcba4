"""Blur made from sharp images, in linear light: averaged frames, camera shake, moving objects, given kernels."""
