"""Which software made a decision: a hash of our sources and the versions that compute with them."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import controller
import plant_models

__all__ = ["software_hash"]

_NUMERICAL = ("casadi", "daqp", "do-mpc", "numpy", "piqp", "scipy")


@cache
def software_hash() -> str:
    """Hash of the sources of `controller` and `plant_models`, and of the numerical wheels."""
    digest = hashlib.sha256()
    for package in (controller, plant_models):
        for folder in package.__path__:
            root = Path(folder)
            for path in sorted(root.rglob("*.py")):
                digest.update(f"{package.__name__}/{path.relative_to(root).as_posix()}\n".encode())
                digest.update(path.read_bytes())
    for name in _NUMERICAL:
        try:
            digest.update(f"{name}=={version(name)}\n".encode())
        except PackageNotFoundError:
            digest.update(f"{name} is not installed\n".encode())
    return digest.hexdigest()[:16]
