"""Conventional control of the line: what a good plant runs without an optimiser."""
