"""What the reconstructions of a model are worth by themselves: coverage, contrast, maps without D, samples."""
