"""Benchmarks, each a function from a console to a dictionary of results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import Console

__all__ = ["REGISTRY", "Benchmark"]

Benchmark = Callable[[Console], dict[str, Any]]

REGISTRY: dict[str, Benchmark] = {}
