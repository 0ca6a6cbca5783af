"""What the runtime may do with the link: everything but write, which is the write gate's alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from controller.link.client import Progress
from plant_models.signals import Snapshot

__all__ = ["PlantReader"]


class PlantReader(Protocol):
    """A link to the plant without its writer."""

    disagreements: tuple[str, ...]

    @property
    def up(self) -> bool:
        """Whether there is a connection, as far as we know."""
        ...

    @property
    def certificates(self) -> Mapping[str, float]:
        """Days left to each certificate of the link."""
        ...

    async def connect(self) -> None:
        """One attempt with a fresh client."""
        ...

    async def drop(self) -> None:
        """Throw the client away."""
        ...

    async def read(self) -> Snapshot:
        """All tags of a cycle."""
        ...

    async def next_cycle(self, last: Progress | None, period_s: float) -> Progress:
        """Wait until a cycle is due."""
        ...

    async def request_control(self, mode: str, epoch: int, reason: str) -> str:
        """Ask the plant for the control lease."""
        ...
