"""How a classifier meets a benchmark: one batch of images in, their records out. Never knows files or metrics."""
