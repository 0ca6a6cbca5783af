"""One module per command of ``twinline``."""
