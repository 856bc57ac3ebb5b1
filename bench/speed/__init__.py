"""Questions about speed: of the search, and of a training step."""
