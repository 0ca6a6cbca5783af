"""Plant seconds as people read them."""

from __future__ import annotations

__all__ = ["clock"]


def clock(second: float) -> str:
    """Plant seconds as ``h:mm:ss``."""
    whole = int(second)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
