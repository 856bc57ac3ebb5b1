"""Detectors that train no network. A model that does not beat them is of no use."""
