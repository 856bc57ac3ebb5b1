"""Measurements that anyone can repeat, one file a question; README.md lists questions and commands."""
