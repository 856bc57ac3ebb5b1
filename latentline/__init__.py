"""What every room stands on: errors, strict configuration, images, tiles, score. NumPy and OpenCV only."""
