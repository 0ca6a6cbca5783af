"""The tightest of PLC, filed, product and operator: never wider than any, and who binds."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.products.limits import SOURCES, mv_limits, tightest
from controller.products.sets import Range
from plant_models.signal_list import signal_table
from plant_models.signals import BAD, MV, Snapshot, Value
from tools.configuration import load_product_set

_ENDS = st.none() | st.floats(-1e3, 1e3)
_RANGES = st.none() | st.tuples(_ENDS, _ENDS)
_FOUR = st.tuples(_RANGES, _RANGES, _RANGES, _RANGES)
Four = tuple[Range | None, Range | None, Range | None, Range | None]


def _ends(given_: Range | None, side: int, nothing: float) -> float:
    end = None if given_ is None else given_[side]
    return nothing if end is None else end


@given(four=_FOUR)
def test_it_is_the_intersection_and_each_end_belongs_to_who_is_said_to_bind(four: Four) -> None:
    found = tightest(*four)
    assert found.lo == max(_ends(r, 0, -math.inf) for r in four)
    assert found.hi == min(_ends(r, 1, math.inf) for r in four)
    for side, end, who in ((0, found.lo, found.lo_by), (1, found.hi, found.hi_by)):
        if math.isinf(end):
            assert who == "nobody"
        else:
            assert _ends(four[SOURCES.index(who)], side, math.nan) == end
    assert bool(found.refusal) == (found.lo > found.hi)


@given(four=_FOUR, which=st.integers(0, 3), more=_RANGES)
def test_another_limit_never_widens_a_range(four: Four, which: int, more: Range | None) -> None:
    given_ = list(four)
    given_[which] = None
    without = tightest(*given_)
    given_[which] = more
    within = tightest(*given_)
    assert within.lo >= without.lo and within.hi <= without.hi


@given(four=_FOUR, order=st.permutations(range(4)))
def test_the_range_does_not_depend_on_who_sets_which_limit(four: Four, order: list[int]) -> None:
    one, two = tightest(*four), tightest(*[four[i] for i in order])
    assert (one.lo, one.hi, bool(one.refusal)) == (two.lo, two.hi, bool(two.refusal))


@given(end=st.floats(-1e3, 1e3))
def test_of_equal_limits_the_one_that_is_harder_to_change_binds(end: float) -> None:
    assert tightest(None, (end, None), (end, None), (end, None)).lo_by == "filed"
    assert tightest((None, end), (None, end), None, (None, end)).hi_by == "PLC"


def test_ranges_that_do_not_overlap_are_refused_by_both_names() -> None:
    found = tightest((5.0, 12.0), (5.0, 9.0), None, (10.0, None))
    assert found.refusal == "operator wants at least 10, filed at most 9"


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("who", range(4))
def test_a_limit_that_is_no_number_is_refused(who: int, side: int) -> None:
    four: list[Range | None] = [(1.0, 2.0)] * 4
    four[who] = (math.nan, 2.0) if side == 0 else (1.0, math.nan)
    assert SOURCES[who] in tightest(*four).refusal


def test_all_four_meet_in_the_limits_of_a_set(root: Path) -> None:
    made = load_product_set(root / "configs/product_sets/half_strength_tablet.yaml")
    table = signal_table(made.line.line)
    values = {
        f"{MV.TURRET_SPEED}/HI": Value(60.0),
        f"{MV.TOTAL_FEED}/LO": Value(20.0, BAD),
        f"{MV.MAIN_FORCE}/HI": Value(float("inf")),
    }
    limits = mv_limits(
        table,
        Snapshot(time=0.0, scan_id=0, values=values),
        made,
        {MV.MAIN_FORCE: (6.0, None), MV.THICKNESS: (3.1, None)},
    )
    found = {tag: (r.lo, r.hi, r.lo_by, r.hi_by) for tag, r in limits.ranges.items()}
    assert found[MV.TURRET_SPEED] == (30.0, 60.0, "product", "PLC")
    assert found[MV.TOTAL_FEED] == (14.0, 22.0, "product", "product")  # unreadable: the line's
    assert found[MV.MAIN_FORCE] == (6.0, 10.0, "operator", "product")
    assert found[MV.BLENDER_SPEED] == (100.0, 350.0, "PLC", "PLC")
    assert limits.conflicts == {
        MV.THICKNESS: f"{MV.THICKNESS}: operator wants at least 3.1, product at most 3 mm"
    }
    si = limits.in_si(table)
    assert si[MV.MAIN_FORCE] == pytest.approx((6000.0, 10000.0))
    assert MV.THICKNESS not in si


def test_without_a_set_the_limits_are_the_lines(root: Path) -> None:
    made = load_product_set(root / "configs/product_sets/reference_tablet.yaml")
    table = signal_table(made.line.line)
    for limits in (mv_limits(table), mv_limits(table, product=made)):
        assert {t: (r.lo, r.hi) for t, r in limits.ranges.items()} == {
            m.tag: (m.lo, m.hi) for m in table.manipulated
        }
