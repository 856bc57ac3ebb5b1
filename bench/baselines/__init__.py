"""What needs no training, or no model of its own: whoever does not beat these has not earned his place."""
