"""Modes, permissives and the write gate: the only code that may let a write out."""
