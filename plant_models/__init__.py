"""What the line is: materials, unit operations, quality attributes and the flowsheet."""
