"""`latentline-edge doctor`: what this machine has, and whether the search is right and how fast on it."""
