"""Recorded presses: read, checked, scored and forecast."""
