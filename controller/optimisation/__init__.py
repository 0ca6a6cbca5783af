"""Optimisation: the optimal control problem, its real-time solver and its reference."""
