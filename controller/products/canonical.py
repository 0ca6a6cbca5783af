"""One text, and so one hash, for what configurations say, however their files are written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

__all__ = ["SHORT", "canonical", "digest", "leaves"]

SHORT = 16  # characters of a digest that are shown and compared


def canonical(content: Any) -> str:
    """JSON with sorted keys and no blanks. Raises ``ValueError`` for NaN and infinity."""
    return json.dumps(
        content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def digest(content: Any) -> str:
    """SHA-256 of the canonical text, its first `SHORT` characters."""
    return hashlib.sha256(canonical(content).encode()).hexdigest()[:SHORT]


def leaves(content: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every scalar and empty container in ``content`` with its path, in order of the paths."""
    if isinstance(content, dict) and content:
        for key in sorted(content):
            yield from leaves(content[key], f"{path}.{key}" if path else str(key))
    elif isinstance(content, (list, tuple)) and content:
        for i, item in enumerate(content):
            yield from leaves(item, f"{path}[{i}]")
    else:
        yield path, content
