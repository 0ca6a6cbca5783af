"""Tag map: where a foreign PLC keeps our signals, and in which unit, scale and offset.

Without an entry a tag has its default node (the tag itself as a string id) and our plant unit.
``value in our plant unit = value of the server * scale + offset``, converted once, at the link.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from plant_models.config import StrictModel
from plant_models.signals import PLANT_URI, DataType, Payload, SignalTable

__all__ = ["TagEntry", "TagMapConfig"]

Number = Annotated[float, Field(allow_inf_nan=False)]


class TagEntry(StrictModel):
    """One tag on the server: string id of its node, and the unit that the server shows for it."""

    node: Annotated[str, Field(min_length=1)] | None = None
    unit: str | None = None
    scale: Number = 1.0
    offset: Number = 0.0

    @model_validator(mode="after")
    def _invertible(self) -> TagEntry:
        if self.scale == 0.0:
            raise ValueError("scale must not be 0, else nothing could be written")
        return self


class TagMapConfig(StrictModel):
    """Tags of one server; ``model_version`` is what its MODEL_VERSION shows, if not our hash."""

    kind: Literal["tagmap"] = "tagmap"
    schema_: Annotated[Literal[1], Field(alias="schema")] = 1
    name: Annotated[str, Field(min_length=1)] = "default"
    line: str | None = None
    namespace: Annotated[str, Field(min_length=1)] = PLANT_URI
    model_version: str | None = None
    tags: dict[str, TagEntry] = Field(default_factory=dict)

    def node(self, tag: str) -> str:
        """String id of the node of a tag or of a method."""
        entry = self.tags.get(tag)
        return entry.node if entry is not None and entry.node is not None else tag

    def unit(self, tag: str, ours: str) -> str:
        """Unit that the server must show; ``ours`` is our plant unit."""
        entry = self.tags.get(tag)
        return entry.unit if entry is not None and entry.unit is not None else ours

    def inwards(self, tag: str, value: Payload) -> Payload:
        """A server's value in our plant unit."""
        entry = self.tags.get(tag)
        if entry is None or (entry.scale == 1.0 and entry.offset == 0.0):
            return value
        if isinstance(value, tuple):
            return tuple(v * entry.scale + entry.offset for v in value)
        if isinstance(value, (bool, str)) or value is None:
            return value
        return value * entry.scale + entry.offset

    def number_inwards(self, tag: str, value: float) -> float:
        """A number of the server in our plant unit."""
        entry = self.tags.get(tag)
        return value if entry is None else value * entry.scale + entry.offset

    def outwards(self, tag: str, value: Payload) -> Payload:
        """Our value in the server's unit."""
        entry = self.tags.get(tag)
        if entry is None or isinstance(value, (bool, str, tuple)) or value is None:
            return value
        if entry.scale == 1.0 and entry.offset == 0.0:
            return value
        return (value - entry.offset) / entry.scale

    def mistakes(self, table: SignalTable) -> tuple[str, ...]:
        """Entries that cannot be right for a line: unknown tags, scales on what is no number."""
        found = []
        for tag, entry in self.tags.items():
            if tag not in table:
                found.append(f"{tag}: no such tag")
            elif table[tag].data_type not in (DataType.DOUBLE, DataType.DOUBLE_ARRAY) and (
                entry.scale != 1.0 or entry.offset != 0.0
            ):
                found.append(f"{tag}: scale and offset need a Double")
        return tuple(found)
