"""Reads a run back from its folder, and turns it into one page that needs nothing else."""
