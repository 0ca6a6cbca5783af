"""What every test shares: reproducible examples, one thread per process, private keys' place."""

import os
from collections.abc import Iterator
from pathlib import Path

# Before numpy is imported; child processes inherit it.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import pytest
from hypothesis import settings

settings.register_profile("house", deadline=None, derandomize=True, print_blob=True)
settings.register_profile("search", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "house"))


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def _private_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test touches the keys of the user who runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TWINLINE_HOME", str(tmp_path_factory.mktemp("twinline-home")))
        yield
