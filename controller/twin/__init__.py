"""Control twin: the line at control fidelity, with the disturbances that the estimator follows."""
