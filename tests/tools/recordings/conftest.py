"""The shipped extract of recorded presses as text, to be damaged."""

import gzip
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def extract(root: Path) -> list[str]:
    """Header and rows of product code 3, with their line ends."""
    with gzip.open(root / "examples/recordings/press_code3.csv.gz", "rt", newline="") as stream:
        return stream.readlines()


@pytest.fixture(scope="session")
def small(extract: list[str]) -> list[str]:
    """Header and 400 rows of two batches, with stops."""
    return [extract[0], *extract[1801:2201]]
