"""What the chaos and the soak bench are made of: a station process without camera and model, a broker, clients."""
