"""Questions about detection: which method finds more, on which images, at what cost."""
