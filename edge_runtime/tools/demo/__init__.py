"""The demo: a simulated camera, painted defects, an embedded broker and the real station."""
