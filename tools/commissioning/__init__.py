"""Commissioning: a line's models fitted to what it recorded."""
