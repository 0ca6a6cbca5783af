"""What a check across files finds, placed in the file that had better change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding", "Path_"]

Path_ = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A contradiction, placed in the file that had better change."""

    owner: Literal["line", "product", "blend", "scenario", "controller", "tagmap", "product_set"]
    path: Path_
    wrong: str
    right: str
