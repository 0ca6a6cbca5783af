"""What people run: the command line, commissioning and benchmarks."""
