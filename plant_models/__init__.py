"""What the line is: materials, unit operations, quality attributes, the flowsheet, the signals.

Pure functions and frozen data: no input or output, no clock, no randomness of its own.
"""
