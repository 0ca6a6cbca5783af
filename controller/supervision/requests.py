"""What operators ask for, and the answer to each request."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Answered"]


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of a request, in a sentence for the one who asked."""

    request: object
    accepted: bool
    text: str
