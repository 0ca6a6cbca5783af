"""A recorded press: evenly sampled series of one product code, in SI, with the tags they stand for.

A record, not a reader: whoever reads files makes it (`tools.recordings`), whoever serves, fits or
scores it takes it. A missing number is NaN; nothing is filled in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

__all__ = ["CHANNELS", "Channel", "Recording"]

Array = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """What a series is: its tag on the line (none if the line has no such signal), plant unit."""

    tag: str | None
    unit: str
    text: str


CHANNELS: Mapping[str, Channel] = MappingProxyType(
    {
        "tablet_rate": Channel(
            tag="Line/Press/TabletRate/PV", unit="1/h", text="tablets made per hour"
        ),
        "paddle_speed": Channel(
            tag="Line/FeedFrame/PaddleSpeed/PV", unit="rpm", text="feed frame's paddle speed"
        ),
        "main_force": Channel(
            tag="Line/Press/MainForce/PV", unit="kN", text="mean main compression force"
        ),
        "fill_depth": Channel(tag="Line/Press/FillDepth/FBK", unit="mm", text="fill depth"),
        "force_rsd": Channel(
            tag="Line/Press/MainForceRSD/PV", unit="%", text="RSD of the main force"
        ),
        "pre_force": Channel(
            tag="Line/Press/PreForce/PV", unit="kN", text="mean pre-compression force"
        ),
        "made": Channel(tag="Line/Press/Made/PV", unit="", text="tablets made"),
        "rejected": Channel(tag="Line/Press/Rejected/PV", unit="", text="tablets rejected"),
        "thickness": Channel(
            tag="Line/Press/Thickness/FBK", unit="mm", text="cylindrical height, main compression"
        ),
        "pre_thickness": Channel(tag=None, unit="mm", text="cylindrical height, pre-compression"),
        "stiffness": Channel(tag=None, unit="", text="stiffness as the press reports it"),
        "ejection_force": Channel(
            tag="Line/Press/EjectionForce/PV", unit="N", text="mean ejection force"
        ),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """Series of one product code, oldest first.

    ``time`` (n,) [s, UTC], strictly rising; ``batch`` one name per row; ``channels`` maps names of
    `CHANNELS` to (n,) arrays in SI (tablets/s, rev/s, N, m, -, tablets), NaN where nothing usable
    was recorded; a channel that was not recorded is absent. ``period_s`` is the usual spacing.
    """

    name: str
    code: str
    period_s: float
    time: Array
    batch: tuple[str, ...]
    channels: Mapping[str, Array]

    @property
    def size(self) -> int:
        """Number of rows."""
        return int(self.time.size)

    def batches(self) -> tuple[str, ...]:
        """Names of the batches in the order of the rows."""
        return tuple(dict.fromkeys(self.batch))

    def rows_of(self, batch: str) -> IntArray:
        """Indices of a batch's rows."""
        return np.flatnonzero(np.asarray(self.batch) == batch)

    def running(self) -> BoolArray:
        """Rows at which the press makes tablets."""
        return np.asarray(np.nan_to_num(self.channels["tablet_rate"]) > 0.0)

    def split(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """First half of the batches (rounded down), to fit on, and the others, to be scored."""
        names = self.batches()
        return names[: len(names) // 2], names[len(names) // 2 :]
