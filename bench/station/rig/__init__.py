"""A test rig: a station process that needs no camera, a broker that may be killed, subscribers that keep count."""
