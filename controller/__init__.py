"""What decides: twin, estimation, optimisation, supervision, plant link and records."""
