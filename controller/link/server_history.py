"""History of key signals for HistoryRead: the last cycles, in memory, bounded.

One row per cycle, one column per signal; a cycle's time is plant time. Only raw data are read; the
whole history is the historian's (`controller.records.historian`), this is what a trend in a client
asks for. An answer holds at most `LARGEST_ANSWER` values in all, the rest follows by continuation
points, so that a client cannot hold the cycle up. Numbers of rows never come twice, so that a
continuation point stays right while rows are added, and is refused once its row has been dropped.

References
----------
[1] OPC 10000-11, OPC UA Part 11: Historical Access, 6.4.3 (raw data), 6.3 (continuation points).
"""

from __future__ import annotations

import math
import struct
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from asyncua import ua
from asyncua.server.history import HistoryManager
from asyncua.server.internal_server import InternalServer

from controller.link.server_nodes import data_value
from controller.link.server_values import Quantity, Shown
from controller.link.wire import numeric_id, seconds, stamp, status

__all__ = ["LARGEST_ANSWER", "History", "Ring", "has_history"]

LARGEST_ANSWER = 1000
ROWS = 17_280  # a day of cycles of 5 s

_BEGINNINGS = ("Estimates/", "MVs/", "Targets/")
_ENDS = ("/Value", "/Low", "/High", "/SetPoint")
_ALONE = frozenset({"Mode", "Estimates/NormalisedInnovation", "KPIs/CycleTime/Last"})
_POINT = struct.Struct(">qq")
_DAY_ZERO = -1e10  # before any time stamp that means something


def has_history(path: str) -> bool:
    """Whether the value at a path is a key signal."""
    if path in _ALONE:
        return True
    return path.startswith(_BEGINNINGS) and (path.endswith(_ENDS) or path.startswith("Targets/"))


@dataclass(frozen=True, slots=True)
class _Page:
    """Rows to answer with, in order, and the row with which the next answer begins."""

    rows: list[int]
    following: int | None


@dataclass(slots=True)
class Ring:
    """The last ``rows`` cycles of the key signals; numbers as such, texts as shared strings."""

    rows: int = ROWS
    _first: int = 0
    _times: deque[float] = field(default_factory=deque)
    _columns: dict[str, tuple[str | None, deque[float | str]]] = field(default_factory=dict)

    def add(self, values: Mapping[str, Shown], time: float) -> None:
        """One cycle more. A plant clock that was put back begins its hours anew."""
        while self._times and self._times[-1] >= time:
            self._times.pop()
            for _, column in self._columns.values():
                column.pop()
        for path, value in values.items():
            if path not in self._columns and has_history(path):
                unit = value.unit if isinstance(value, Quantity) else None
                before: deque[float | str] = deque([math.nan] * len(self._times))
                self._columns[path] = unit, before
        self._times.append(time)
        for path, (_, column) in self._columns.items():
            column.append(_kept(values.get(path)))
        if len(self._times) > self.rows:
            self._first += 1
            self._times.popleft()
            for _, column in self._columns.values():
                column.popleft()

    def __contains__(self, path: str) -> bool:
        return path in self._columns

    def __len__(self) -> int:
        return len(self._times)

    def page(
        self,
        start: float | None,
        end: float | None,
        *,
        most: int,
        wanted: int = 0,
        bounds: bool = False,
        following: int | None = None,
    ) -> _Page | None:
        """Rows of a time range; None if the row to go on with has been dropped.

        Parameters
        ----------
        start, end
            Range [s, UTC], both included; backwards if the end is first. None is open.
        most
            Most rows in this answer.
        wanted
            Most rows that the client wants at once; 0 for all.
        bounds
            Whether the rows next to the range belong to it.
        following
            Row with which the answer begins, from the page before.
        """
        times = list(self._times)
        backwards = start is None or (end is not None and end < start)
        lo, hi = (end, start) if backwards and start is not None else (start, end)
        i = 0 if lo is None else bisect_left(times, lo)
        j = len(times) if hi is None else bisect_right(times, hi)
        if bounds:
            i -= i > 0 and lo is not None and (i >= len(times) or times[i] > lo)
            j += j < len(times) and hi is not None and (j == 0 or times[j - 1] < hi)
        order = range(j - 1, i - 1, -1) if backwards else range(i, j)
        if following is not None:
            at = following - self._first
            if at not in order:
                return None
            order = order[order.index(at) :]
        size = min(most, wanted) if wanted else most
        one_ended = start is None or end is None
        rows = [self._first + k for k in islice(order, size)]
        more = len(order) > size and not (one_ended and wanted and wanted <= most)
        return _Page(rows, self._first + order[size] if more else None)

    def value(self, path: str, row: int) -> ua.DataValue:
        """What a signal was in a row."""
        unit, column = self._columns[path]
        held, time = column[row - self._first], self._times[row - self._first]
        if isinstance(held, str):
            return data_value(held, time)
        return data_value(held if unit is None else Quantity(held, unit), time)


def _kept(value: Shown | None) -> float | str:
    if isinstance(value, Quantity):
        value = math.nan if isinstance(value.value, tuple) else value.value
    if isinstance(value, str):
        return value
    return float(value) if isinstance(value, (bool, int, float)) else math.nan


class History(HistoryManager):
    """Answers HistoryRead from a ring; knows no events and no modified or processed data.

    Parameters
    ----------
    server
        The library's server, whose history this becomes.
    ring
        What is remembered.
    path_of
        Path of a node below ``Controller``, or None.
    """

    def __init__(
        self, server: InternalServer, ring: Ring, path_of: Callable[[ua.NodeId], str | None]
    ) -> None:
        super().__init__(server)
        self._ring, self._path_of = ring, path_of
        server.history_manager = self

    async def announce(self) -> None:
        """Say in the standard's own nodes what can be read."""
        begin, can = "HistoryServerCapabilities_", "AccessHistoryDataCapability"
        for name in dir(ua.ObjectIds):
            if name.startswith(begin) and name.endswith("Capability"):
                yes = ua.Variant(name == begin + can, ua.VariantType.Boolean)
                await self._write(getattr(ua.ObjectIds, name), yes)
        most = ua.Variant(LARGEST_ANSWER, ua.VariantType.UInt32)
        await self._write(ua.ObjectIds.HistoryServerCapabilities_MaxReturnDataValues, most)

    async def _write(self, number: int, value: ua.Variant) -> None:
        await self.iserver.write_attribute_value(numeric_id(number), ua.DataValue(value))

    async def read_history(self, params: ua.HistoryReadParameters) -> list[ua.HistoryReadResult]:
        """Answer for every node asked for; the values of all of them share one limit."""
        nodes = params.NodesToRead
        if params.ReleaseContinuationPoints:
            return [ua.HistoryReadResult() for _ in nodes]
        most = max(1, LARGEST_ANSWER // max(1, len(nodes)))
        return [self._answer(params.HistoryReadDetails, n, most) for n in nodes]

    def _answer(self, details: Any, node: ua.HistoryReadValueId, most: int) -> ua.HistoryReadResult:
        codes = ua.StatusCodes
        path = self._path_of(node.NodeId)
        if path is None:
            known = node.NodeId in self.iserver.aspace
            code = codes.BadHistoryOperationUnsupported if known else codes.BadNodeIdUnknown
            return _failed(code)
        if not has_history(path) or not isinstance(details, ua.ReadRawModifiedDetails):
            return _failed(codes.BadHistoryOperationUnsupported)
        if details.IsReadModified:
            return _failed(codes.BadHistoryOperationUnsupported)
        if node.IndexRange:
            return _failed(codes.BadIndexRangeInvalid)
        return self._raw(details, node, path, most)

    def _raw(
        self, details: ua.ReadRawModifiedDetails, node: ua.HistoryReadValueId, path: str, most: int
    ) -> ua.HistoryReadResult:
        codes = ua.StatusCodes
        start, end = _time(details.StartTime), _time(details.EndTime)
        wanted = int(details.NumValuesPerNode)
        if (start is not None) + (end is not None) + (wanted > 0) < 2:
            return _failed(codes.BadHistoryOperationInvalid)
        following = None
        if node.ContinuationPoint:
            if len(node.ContinuationPoint) != _POINT.size:
                return _failed(codes.BadContinuationPointInvalid)
            following, wanted = _POINT.unpack(node.ContinuationPoint)
        page = self._ring.page(
            start,
            end,
            most=most,
            wanted=max(0, wanted),
            bounds=bool(details.ReturnBounds),
            following=following,
        )
        if page is None:
            return _failed(codes.BadContinuationPointInvalid)
        found = [self._ring.value(path, row) for row in page.rows] if path in self._ring else []
        backwards = start is None or (end is not None and end < start)
        result = ua.HistoryReadResult()
        if details.ReturnBounds:
            begins, ends = following is None, page.following is None
            found = _bounded(found, start if begins else None, end if ends else None, backwards)
        result.HistoryData = ua.HistoryData(DataValues=found)
        result.StatusCode = status(codes.Good if found else codes.GoodNoData)
        if page.following is not None:
            result.ContinuationPoint = ua.ByteString(_POINT.pack(page.following, wanted))
        return result


def _bounded(
    found: list[ua.DataValue], start: float | None, end: float | None, backwards: bool
) -> list[ua.DataValue]:
    """With a value that says so at each end that has no value at or beyond it [1]."""
    times = [seconds(v.SourceTimestamp) for v in found if v.SourceTimestamp is not None]
    sign = -1.0 if backwards else 1.0
    values = list(found)
    if start is not None and (not times or sign * (times[0] - start) > 0.0):
        values.insert(0, _no_bound(start))
    if end is not None and (not times or sign * (end - times[-1]) > 0.0):
        values.append(_no_bound(end))
    return values


def _no_bound(time: float) -> ua.DataValue:
    code = status(ua.StatusCodes.BadBoundNotFound)
    return ua.DataValue(StatusCode=code, SourceTimestamp=stamp(time))


def _time(given: datetime | None) -> float | None:
    """Seconds, or None for the time that stands for none."""
    if given is None:
        return None
    found = seconds(given)
    return found if found > _DAY_ZERO else None


def _failed(code: int) -> ua.HistoryReadResult:
    return ua.HistoryReadResult(StatusCode=status(code))
