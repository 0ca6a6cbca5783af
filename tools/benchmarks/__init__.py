"""Benchmarks, each a function from a console to a dictionary of results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import Console

from tools.benchmarks.realism import run_realism

__all__ = ["REGISTRY", "Benchmark"]

Benchmark = Callable[[Console], dict[str, Any]]


def _realism(console: Console) -> dict[str, Any]:
    return run_realism(console=console)


REGISTRY: dict[str, Benchmark] = {"realism": _realism}
