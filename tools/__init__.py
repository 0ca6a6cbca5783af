"""What people run: the command line, commissioning and benchmarks."""

import os

# One thread per process, before anybody imports numpy: matrices here are small, and plant and
# controller share the processor's cores. Child processes inherit it.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
