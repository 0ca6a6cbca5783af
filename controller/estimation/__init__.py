"""Estimation: feeder filters, moving-horizon estimator, arrival cost."""
