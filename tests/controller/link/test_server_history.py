"""The history of key signals: ranges, order, pages, bounds, and what is refused."""

import asyncio
import math
from types import SimpleNamespace

import pytest
from asyncua import ua
from hypothesis import given
from hypothesis import strategies as st

from controller.link.server_history import LARGEST_ANSWER, History, Ring, has_history
from controller.link.server_values import Quantity
from controller.link.wire import seconds, stamp, string_id

PATH = "Estimates/potency/Value"
NODE, MODE, OTHER, UNKNOWN = (string_id(name, 2) for name in ("a", "b", "c", "d"))
ZERO = 1_700_000_000.0


def filled(times: list[float], rows: int = 10_000) -> Ring:
    ring = Ring(rows=rows)
    for t in times:
        mode = "OFF" if t < 3 else "ADVISORY"
        ring.add({PATH: Quantity(t, "% of label"), "Mode": mode, "Cause": "x"}, ZERO + t)
    return ring


def history(ring: Ring) -> History:
    server = SimpleNamespace(history_manager=None, aspace={NODE: 1, MODE: 1, OTHER: 1})
    made = History(server, ring, {NODE: PATH, MODE: "Mode"}.get)  # type: ignore[arg-type]
    assert server.history_manager is made
    return made


def read(
    of: History,
    start: float | None,
    end: float | None,
    *,
    most: int = 0,
    bounds: bool = False,
    point: bytes | None = None,
    node: ua.NodeId = NODE,
    nodes: int = 1,
) -> ua.HistoryReadResult:
    nothing = ua.get_win_epoch()
    details = ua.ReadRawModifiedDetails(
        IsReadModified=False,
        StartTime=nothing if start is None else stamp(ZERO + start),
        EndTime=nothing if end is None else stamp(ZERO + end),
        NumValuesPerNode=most,
        ReturnBounds=bounds,
    )
    wanted = ua.HistoryReadValueId(NodeId=node, ContinuationPoint=point)
    params = ua.HistoryReadParameters(
        HistoryReadDetails=details, NodesToRead=[wanted] * nodes, ReleaseContinuationPoints=False
    )
    return asyncio.run(of.read_history(params))[0]


def told(result: ua.HistoryReadResult) -> list[tuple[float, float | None]]:
    """Time and value; None for a value that is bad."""
    return [
        (
            seconds(v.SourceTimestamp) - ZERO,
            v.Value.Value if v.StatusCode.is_good() else None,
        )
        for v in result.HistoryData.DataValues
    ]


def code(result: ua.HistoryReadResult) -> str:
    return str(result.StatusCode.name)


@pytest.mark.parametrize(
    ("start", "end", "most", "wanted"),
    [
        (2.0, 4.0, 0, [2, 3, 4]),
        (4.0, 2.0, 0, [4, 3, 2]),
        (3.0, None, 2, [3, 4]),
        (None, 3.0, 2, [3, 2]),
        (3.0, 3.0, 0, [3]),
        (-100.0, 100.0, 0, [1, 2, 3, 4, 5]),
    ],
)
def test_a_range_is_answered_in_its_order(
    start: float | None, end: float | None, most: int, wanted: list[float]
) -> None:
    result = read(history(filled([1, 2, 3, 4, 5])), start, end, most=most)
    assert code(result) == "Good"
    assert told(result) == [(t, t) for t in wanted]
    assert not result.ContinuationPoint


def test_an_empty_range_says_so() -> None:
    result = read(history(filled([1, 2, 3])), 2.5, 2.6)
    assert (code(result), told(result)) == ("GoodNoData", [])


def test_texts_have_a_history_too() -> None:
    result = read(history(filled([1, 2, 3, 4])), 0.0, 9.0, node=MODE)
    assert [v for _, v in told(result)] == ["OFF", "OFF", "ADVISORY", "ADVISORY"]


def test_bounds_are_the_values_next_to_the_range_or_said_to_be_missing() -> None:
    of = history(filled([1, 2, 3, 4, 5]))
    assert [t for t, _ in told(read(of, 2.5, 3.5, bounds=True))] == [2, 3, 4]
    assert [t for t, _ in told(read(of, 3.5, 2.5, bounds=True))] == [4, 3, 2]
    assert told(read(of, 0.5, 2.0, bounds=True)) == [(0.5, None), (1, 1), (2, 2)]
    assert told(read(of, 4.0, 9.0, bounds=True)) == [(4, 4), (5, 5), (9.0, None)]
    result = read(of, 4.0, 9.0, bounds=True)
    assert result.HistoryData.DataValues[-1].StatusCode.name == "BadBoundNotFound"


@pytest.mark.parametrize(("start", "end"), [(0.0, 99.0), (99.0, 0.0)])
def test_a_client_gets_all_pages_while_cycles_are_added(start: float, end: float) -> None:
    ring = filled([float(t) for t in range(1, 11)])
    of, seen, point = history(ring), [], None
    while True:
        result = read(of, start, end, most=3, point=point)
        assert code(result) == "Good"
        page = told(result)
        assert len(page) <= 3
        seen += [t for t, _ in page]
        point = result.ContinuationPoint
        if not point:
            break
        ring.add({PATH: Quantity(0.0, "% of label")}, ZERO + 100.0 + len(seen))
    assert seen == sorted(range(1, 11), reverse=start > end)


def test_an_answer_is_bounded_and_shared_by_the_nodes_asked_for() -> None:
    of = history(filled([float(t) for t in range(LARGEST_ANSWER + 5)]))
    whole = read(of, 0.0, 1e6)
    assert len(told(whole)) == LARGEST_ANSWER and whole.ContinuationPoint
    rest = read(of, 0.0, 1e6, point=whole.ContinuationPoint)
    assert len(told(rest)) == 5 and not rest.ContinuationPoint
    assert len(told(read(of, 0.0, 1e6, nodes=10))) == LARGEST_ANSWER // 10


def test_a_continuation_point_whose_row_is_gone_is_refused() -> None:
    ring = filled([1, 2, 3, 4], rows=4)
    of = history(ring)
    point = read(of, 0.0, 99.0, most=1).ContinuationPoint
    for t in range(5, 9):
        ring.add({PATH: Quantity(t, "% of label")}, ZERO + t)
    assert code(read(of, 0.0, 99.0, most=1, point=point)) == "BadContinuationPointInvalid"
    assert code(read(of, 0.0, 99.0, point=b"xyz")) == "BadContinuationPointInvalid"


def test_what_cannot_be_read_is_refused_by_name() -> None:
    of = history(filled([1, 2, 3]))
    assert code(read(of, 0.0, 9.0, node=OTHER)) == "BadHistoryOperationUnsupported"
    assert code(read(of, 0.0, 9.0, node=UNKNOWN)) == "BadNodeIdUnknown"
    assert code(read(of, 0.0, None)) == "BadHistoryOperationInvalid"
    processed = ua.HistoryReadParameters(
        HistoryReadDetails=ua.ReadProcessedDetails(),
        ReleaseContinuationPoints=False,
        NodesToRead=[ua.HistoryReadValueId(NodeId=NODE)],
    )
    (result,) = asyncio.run(of.read_history(processed))
    assert code(result) == "BadHistoryOperationUnsupported"


def test_releasing_points_needs_nothing() -> None:
    params = ua.HistoryReadParameters(
        HistoryReadDetails=ua.ReadRawModifiedDetails(),
        ReleaseContinuationPoints=True,
        NodesToRead=[ua.HistoryReadValueId(NodeId=NODE)],
    )
    (result,) = asyncio.run(history(filled([1])).read_history(params))
    assert result.StatusCode.is_good() and not isinstance(result.HistoryData, ua.HistoryData)


def test_a_clock_that_is_put_back_begins_its_hours_anew() -> None:
    ring = filled([1, 2, 3, 4])
    ring.add({PATH: Quantity(2.5, "% of label")}, ZERO + 2.5)
    assert [t for t, _ in told(read(history(ring), 0.0, 99.0))] == [1, 2, 2.5]


def test_a_signal_that_begins_later_or_pauses_has_no_value_there() -> None:
    ring = Ring()
    ring.add({"Mode": "OFF"}, ZERO + 1)
    ring.add({"Mode": "OFF", PATH: Quantity(7.0, "% of label")}, ZERO + 2)
    ring.add({"Mode": "OFF", PATH: Quantity(math.nan, "% of label")}, ZERO + 3)
    ring.add({"Mode": "OFF"}, ZERO + 4)
    assert [v for _, v in told(read(history(ring), 0.0, 9.0))] == [None, 7.0, None, None]


def test_key_signals_are_few_and_named() -> None:
    assert has_history("Mode") and has_history("MVs/Thickness/SetPoint")
    assert has_history("Targets/potency") and has_history("Estimates/potency/Low")
    assert not has_history("Cause") and not has_history("Advice/Thickness/Value")


@given(
    start=st.integers(-2, 62).map(lambda n: n / 2),
    end=st.integers(-2, 62).map(lambda n: n / 2),
    most=st.integers(0, 7),
    dropped=st.integers(0, 15),
    bounds=st.booleans(),
)
def test_pages_together_are_the_whole_range(
    start: float, end: float, most: int, dropped: int, bounds: bool
) -> None:
    """The oracle sorts and filters; pages of any size give the same."""
    times = [float(t) for t in range(30)]
    of = history(filled(times, rows=30 - dropped))
    kept = times[dropped:]
    lo, hi = min(start, end), max(start, end)
    wanted = [t for t in kept if lo <= t <= hi]
    if bounds:
        before, after = [t for t in kept if t < lo], [t for t in kept if t > hi]
        if lo not in wanted:
            wanted = before[-1:] + wanted
        if hi not in wanted:
            wanted = wanted + after[:1]
    if end < start:
        wanted = wanted[::-1]
    seen: list[float] = []
    point: bytes | None = None
    for _ in range(40):
        result = read(of, start, end, most=most, bounds=bounds, point=point)
        seen += [t for t, v in told(result) if v is not None]
        point = result.ContinuationPoint
        if not point:
            break
    assert seen == wanted
