"""Streams of a line, and a station whose pictures somebody labels."""
