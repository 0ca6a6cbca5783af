"""The write gate: what it lets out, what it refuses, and with which words."""

import asyncio
import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.data import Command, Mode, Plan, ReachedBy
from controller.supervision.authority import Authority, authorise
from controller.supervision.bumpless import Bounds, limited_move, ramp
from controller.supervision.gate import Gate, GateError, WriteGate, withhold
from controller.supervision.gate_checks import NEEDED
from controller.supervision.permissives import Name, Permissive
from controller.validation import ValidationState, Validator
from plant_models.signals import APC, BAD, MV, CommandFrame, PlcMode, Value
from tests.controller.kit import EPOCH, OWNED, PERIOD, TABLE, TinyPlant, bad, controller_config

CYCLE = 7
GATE = Gate(
    table=TABLE,
    owned=frozenset(OWNED),
    period_s=PERIOD,
    plan_age_max_cycles=6,
    debounce={Name.SOLVER: 3},
)
VALIDATOR = Validator(TABLE, controller_config().validation, PlcMode.CASCADE)


def plan_for(plant: TinyPlant, moves: Mapping[str, float], **changes: object) -> Plan:
    plan = Plan(
        time=plant.time,
        times=np.zeros(1),
        moves={tag: np.array([value]) for tag, value in moves.items()},
        reached_by=ReachedBy.FAST,
        steps=1,
        solver_verdicts=(),
        cost=0.0,
    )
    return replace(plan, **changes)  # type: ignore[arg-type]


def permissive(name: Name, *, good: bool = True, lost_cycles: int = 0) -> Permissive:
    return Permissive(name=name, good=good, text="as told", since=0.0, lost_cycles=lost_cycles)


def leave(plant: TinyPlant, *others: Permissive, **changes: object) -> Authority:
    """Leave of supervision for this cycle, with every permissive good but ``others``."""
    granted: dict[str, object] = {
        "cycle": CYCLE,
        "time": plant.time,
        "mode": Mode.CLOSED_LOOP,
        "suspended": False,
        "permissives": {n: permissive(n) for n in NEEDED} | {p.name: p for p in others},
    }
    return authorise(**(granted | changes))  # type: ignore[arg-type]


def decide(
    plant: TinyPlant,
    plan: Plan | None,
    *,
    authority: Authority | None = None,
    sequence: int = 0,
    share: float = 1.0,
    epoch: int = EPOCH,
    limits: Mapping[str, tuple[float, float]] | None = None,
    sent: CommandFrame | None = None,
) -> Command:
    snapshot = plant.snapshot()
    validated, _ = VALIDATOR.validate(snapshot, ValidationState())
    return GATE.decide(
        authority or leave(plant),
        plan,
        validated,
        snapshot,
        cycle=CYCLE,
        epoch=epoch,
        sequence=sequence,
        share=share,
        limits=limits or {},
        sent=sent,
    )


@pytest.fixture
def plant() -> TinyPlant:
    plant = TinyPlant()
    plant.grant()
    return plant


def requests(command: Command) -> Mapping[str, float]:
    assert command.frame is not None, command.reasons
    return command.frame.requests


def test_a_plan_within_its_limits_goes_out_unchanged(plant: TinyPlant) -> None:
    command = decide(plant, plan_for(plant, {MV.MAIN_FORCE: 7300.0, MV.THICKNESS: 3.09e-3}))
    assert command.reasons == ()
    assert requests(command)[MV.MAIN_FORCE] == pytest.approx(7.3)
    assert requests(command)[MV.THICKNESS] == pytest.approx(3.09)


def test_what_is_not_ours_or_not_planned_is_written_as_it_is(plant: TinyPlant) -> None:
    plant.values[f"{MV.FILL_DEPTH}/ACT"] = 8.123456789
    sent = requests(decide(plant, plan_for(plant, {MV.FILL_DEPTH: 9e-3, MV.MAIN_FORCE: 7300.0})))
    assert set(sent) == {m.tag for m in TABLE.manipulated}
    assert sent[MV.FILL_DEPTH] == 8.123456789
    assert sent[MV.TOTAL_FEED] == plant.values[f"{MV.TOTAL_FEED}/ACT"]


def test_an_mv_that_is_not_available_tracks(plant: TinyPlant) -> None:
    plant.values[f"{MV.MAIN_FORCE}/AVAIL"] = False
    command = decide(plant, plan_for(plant, {MV.MAIN_FORCE: 7400.0}))
    assert requests(command)[MV.MAIN_FORCE] == 7.25
    assert command.reasons == (f"{MV.MAIN_FORCE} tracks: not available",)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_plan_that_is_not_a_number_is_refused_whole(plant: TinyPlant, value: float) -> None:
    command = decide(plant, plan_for(plant, {MV.MAIN_FORCE: value, MV.THICKNESS: 3.09e-3}))
    assert command.frame is None
    assert MV.MAIN_FORCE in command.reasons[0]


def test_the_tightest_range_and_rate_count_and_are_recorded(plant: TinyPlant) -> None:
    plant.values[f"{MV.MAIN_FORCE}/HI"] = 7.3
    command = decide(plant, plan_for(plant, {MV.MAIN_FORCE: 7400.0}))
    assert requests(command)[MV.MAIN_FORCE] == pytest.approx(7.3)
    assert "by range" in command.reasons[0]
    plant.values[f"{MV.MAIN_FORCE}/RATE_UP"] = 0.01
    command = decide(plant, plan_for(plant, {MV.MAIN_FORCE: 7400.0}))
    assert requests(command)[MV.MAIN_FORCE] == pytest.approx(7.26)
    assert "by rate" in command.reasons[0]


def test_a_plc_that_allows_more_than_we_do_changes_nothing(plant: TinyPlant) -> None:
    plant.values[f"{MV.MAIN_FORCE}/RATE_UP"] = 5.0
    plant.values[f"{MV.MAIN_FORCE}/HI"] = 20.0
    assert requests(decide(plant, plan_for(plant, {MV.MAIN_FORCE: 19e3})))[
        MV.MAIN_FORCE
    ] == pytest.approx(7.45)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"age_cycles": 7}, "7 cycles old"),
        ({"age_cycles": -1}, "-1 cycles old"),
        ({"time": 0.0}, "another time"),
        ({"time": math.nan}, "another time"),
        ({"time": 4e9}, "another time"),
    ],
)
def test_an_old_plan_is_refused(plant: TinyPlant, change: dict[str, float], text: str) -> None:
    command = decide(plant, plan_for(plant, {MV.MAIN_FORCE: 7300.0}, **change))
    assert command.frame is None
    assert text in command.reasons[0]


def test_without_plan_lease_heartbeat_or_set_points_nothing_goes_out(plant: TinyPlant) -> None:
    plan = plan_for(plant, {MV.MAIN_FORCE: 7300.0})
    assert decide(plant, None).reasons == ("no plan",)
    assert decide(plant, plan, epoch=EPOCH + 1).reasons == ("the lease is not ours",)
    bad(plant, f"{MV.BLENDER_SPEED}/ACT")
    assert decide(plant, plan).reasons == (f"{MV.BLENDER_SPEED}/ACT is unreadable",)


def test_echo_is_the_heartbeat_of_the_snapshot_and_the_number_grows(plant: TinyPlant) -> None:
    plan = plan_for(plant, {MV.MAIN_FORCE: 7300.0})
    frame = decide(plant, plan, sequence=10**9).frame
    assert frame is not None
    assert (frame.echo, frame.epoch) == (plant.heartbeat, EPOCH)
    assert frame.sequence == 10**9 + 1


def refusal(command: Command) -> str:
    assert command.frame is None
    (reason,) = command.reasons
    return reason


def test_without_leave_of_supervision_for_this_very_cycle_nothing_goes_out(
    plant: TinyPlant,
) -> None:
    plan, snapshot = plan_for(plant, {MV.MAIN_FORCE: 7300.0}), plant.snapshot()
    validated, _ = VALIDATOR.validate(snapshot, ValidationState())
    nobody = GATE.decide(
        None, plan, validated, snapshot, cycle=CYCLE, epoch=EPOCH, sequence=0, share=1.0
    )
    assert refusal(nobody) == "supervision gave no leave to write"
    for stale in (leave(plant, cycle=CYCLE - 1), leave(plant, time=plant.time - 5.0)):
        assert "the leave to write is that of cycle" in refusal(
            decide(plant, plan, authority=stale)
        )


@pytest.mark.parametrize("mode", [m for m in Mode if m is not Mode.CLOSED_LOOP])
def test_leave_in_another_mode_or_in_suspension_is_none(plant: TinyPlant, mode: Mode) -> None:
    plan = plan_for(plant, {MV.MAIN_FORCE: 7300.0})
    assert refusal(decide(plant, plan, authority=leave(plant, mode=mode))) == (
        f"{mode} writes nothing"
    )
    suspended = leave(plant, suspended=True)
    assert refusal(decide(plant, plan, authority=suspended)) == "control is suspended"


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_a_permissive_that_was_not_evaluated_is_not_green(plant: TinyPlant, name: Name) -> None:
    plan = plan_for(plant, {MV.MAIN_FORCE: 7300.0})
    some = {n: permissive(n) for n in NEEDED - {name}}
    command = decide(plant, plan, authority=leave(plant, permissives=some))
    assert refusal(command) == f"{name}: not evaluated"


def test_a_lost_permissive_withholds_unless_it_is_inside_its_debounce(plant: TinyPlant) -> None:
    plan = plan_for(plant, {MV.MAIN_FORCE: 7300.0})
    for name in NEEDED:
        lost = permissive(name, good=False, lost_cycles=1)
        command = decide(plant, plan, authority=leave(plant, lost))
        if name is Name.SOLVER:
            assert command.frame is not None
        else:
            assert refusal(command) == f"{name}: as told"
    long = permissive(Name.SOLVER, good=False, lost_cycles=3)
    assert refusal(decide(plant, plan, authority=leave(plant, long))) == "solver healthy: as told"
    shown = permissive(Name.READINESS, good=False, lost_cycles=9)
    assert decide(plant, plan, authority=leave(plant, shown)).frame is not None


@pytest.mark.parametrize("part", ["LO", "HI", "RATE_UP", "RATE_DN"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, "7"])
def test_a_clamp_that_is_no_number_is_refused_and_not_replaced(
    plant: TinyPlant, part: str, value: object
) -> None:
    plant.values[f"{MV.MAIN_FORCE}/{part}"] = value  # type: ignore[assignment]
    command = decide(plant, plan_for(plant, {MV.MAIN_FORCE: 7300.0, MV.THICKNESS: 3.09e-3}))
    assert refusal(command) == f"{MV.MAIN_FORCE}/{part} is unreadable"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"LO": 9.0, "HI": 8.0}, "the plant's limits cross, 9 above 8 kN"),
        ({"LO": 13.0, "HI": 14.0}, "the plant's range 13..14 lies outside ours 5..12 kN"),
        ({"LO": 5000.0, "HI": 12000.0}, "lies outside ours"),
        ({"RATE_UP": -0.2}, "a rate of the plant is negative (-0.2 up, 0.2 down)"),
        ({"RATE_DN": -0.2}, "a rate of the plant is negative"),
    ],
)
def test_clamps_that_contradict_themselves_or_ours_are_refused(
    plant: TinyPlant, changes: Mapping[str, float], text: str
) -> None:
    for part, value in changes.items():
        plant.values[f"{MV.MAIN_FORCE}/{part}"] = value
    assert text in refusal(decide(plant, plan_for(plant, {MV.MAIN_FORCE: 7300.0})))


def test_a_clamp_of_what_we_do_not_move_does_not_matter(plant: TinyPlant) -> None:
    plant.values[f"{MV.FILL_DEPTH}/LO"] = math.nan
    assert decide(plant, plan_for(plant, {MV.MAIN_FORCE: 7300.0})).frame is not None


def test_the_range_of_operator_and_product_counts_in_si(plant: TinyPlant) -> None:
    plan = plan_for(plant, {MV.MAIN_FORCE: 7400.0})
    narrow = decide(plant, plan, limits={MV.MAIN_FORCE: (7000.0, 7350.0)})
    assert requests(narrow)[MV.MAIN_FORCE] == pytest.approx(7.35)
    for span, text in (
        ((7350.0, 7000.0), "is no range"),
        ((math.nan, 7000.0), "is no range"),
        ((13e3, 14e3), "the range of operator and product 13..14 lies outside 5..12 kN"),
    ):
        assert text in refusal(decide(plant, plan, limits={MV.MAIN_FORCE: span}))


def test_a_rate_of_nothing_moves_nothing(plant: TinyPlant) -> None:
    plant.values[f"{MV.MAIN_FORCE}/RATE_UP"] = 0.0
    sent = requests(decide(plant, plan_for(plant, {MV.MAIN_FORCE: 7400.0})))
    assert sent[MV.MAIN_FORCE] == 7.25


def test_a_frame_that_does_not_read_back_stops_the_next(plant: TinyPlant) -> None:
    plan = plan_for(plant, {MV.MAIN_FORCE: 7300.0})
    sent = decide(plant, plan).frame
    assert sent is not None
    plant.take(sent)
    assert decide(plant, plan, sent=sent).frame is not None
    plant.values[f"{MV.MAIN_FORCE}/REQ"] = 9.9
    assert refusal(decide(plant, plan, sent=sent)) == (
        f"{MV.MAIN_FORCE}: 7.3 was written, 9.9 reads back"
    )
    bad(plant, f"{MV.MAIN_FORCE}/REQ")
    assert decide(plant, plan, sent=sent).frame is not None


def test_data_of_another_read_and_an_unreadable_heartbeat_are_refused(plant: TinyPlant) -> None:
    plan, snapshot = plan_for(plant, {MV.MAIN_FORCE: 7300.0}), plant.snapshot()
    validated, _ = VALIDATOR.validate(snapshot, ValidationState())

    def with_data(**changes: object) -> str:
        return refusal(
            GATE.decide(
                leave(plant),
                plan,
                replace(validated, **changes),  # type: ignore[arg-type]
                snapshot,
                cycle=CYCLE,
                epoch=EPOCH,
                sequence=0,
                share=1.0,
            )
        )

    assert with_data(time=plant.time - 5.0) == "the data are those of another read"
    assert with_data(heartbeat=-1) == "the plant's heartbeat is unreadable"


@pytest.mark.parametrize("share", [0.0, -0.2, 1.1, math.nan])
def test_a_share_that_is_none_is_refused(plant: TinyPlant, share: float) -> None:
    plan = plan_for(plant, {MV.MAIN_FORCE: 7300.0})
    assert "is no share of a rate" in refusal(decide(plant, plan, share=share))


def test_an_uncertain_set_point_in_use_is_no_place_to_start_from(plant: TinyPlant) -> None:
    snapshot = plant.snapshot()
    tag = f"{MV.THICKNESS}/ACT"
    for item in (Value(3.084, BAD), Value(3.084, 0x40000000), Value(math.nan), Value(None)):
        shown = replace(snapshot, values={**snapshot.values, tag: item})
        validated, _ = VALIDATOR.validate(shown, ValidationState())
        command = GATE.decide(
            leave(plant),
            plan_for(plant, {MV.MAIN_FORCE: 7300.0}),
            validated,
            shown,
            cycle=CYCLE,
            epoch=EPOCH,
            sequence=0,
            share=1.0,
        )
        assert refusal(command) == f"{tag} is unreadable"


finite = st.floats(-100.0, 100.0)
positive = st.floats(1e-3, 50.0)


@given(finite, finite, finite, positive, positive, positive, st.floats(0.05, 1.0))
def test_a_move_never_exceeds_its_rate_and_ends_nearer_to_its_range(
    planned: float, actual: float, lo: float, span: float, up: float, down: float, share: float
) -> None:
    bounds = Bounds(lo=lo, hi=lo + span, up=up, down=down)
    move = limited_move(planned, actual, bounds, share)
    assert -share * down < move.value - actual < share * up or move.value == actual
    outside = max(bounds.lo - actual, actual - bounds.hi, 0.0)
    assert max(bounds.lo - move.value, move.value - bounds.hi, 0.0) <= outside + 1e-9


def test_the_share_of_the_rate_grows_to_all_of_it() -> None:
    assert [ramp(n, 5) for n in range(7)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0, 1.0])
    assert ramp(0, 1) == 1.0


class Recorder:
    def __init__(self) -> None:
        self.calls: list[dict[str, object]] = []

    async def write(self, writes: Mapping[str, object]) -> Mapping[str, int]:
        self.calls.append(dict(writes))
        return dict.fromkeys(writes, 0)


def test_a_command_is_one_write_with_its_head_first_and_its_tail_last(plant: TinyPlant) -> None:
    command = decide(plant, plan_for(plant, {MV.MAIN_FORCE: 7300.0}))
    recorder = Recorder()
    asyncio.run(WriteGate(recorder).send(command, leave(plant)))
    (call,) = recorder.calls
    assert (next(iter(call)), next(reversed(call))) == (APC.SEQ_HEAD, APC.SEQ_TAIL)
    assert {f"{m.tag}/REQ" for m in TABLE.manipulated} < set(call)


def test_each_leave_serves_for_one_frame_and_none_goes_without(plant: TinyPlant) -> None:
    command = decide(plant, plan_for(plant, {MV.MAIN_FORCE: 7300.0}))
    recorder = Recorder()
    gate = WriteGate(recorder)

    async def cycle() -> None:
        with pytest.raises(GateError, match="without leave"):
            await gate.send(command, None)
        with pytest.raises(GateError, match="without leave"):
            await gate.send(command, leave(plant, mode=Mode.ADVISORY))
        await gate.send(command, leave(plant))
        for old in (leave(plant), leave(plant, cycle=CYCLE - 1)):
            with pytest.raises(GateError, match="has been used"):
                await gate.send(command, old)

    asyncio.run(cycle())
    assert len(recorder.calls) == 1


@pytest.mark.parametrize("mode", list(Mode))
def test_heartbeat_and_state_are_written_in_every_mode_and_nothing_with_them(mode: Mode) -> None:
    recorder = Recorder()
    asyncio.run(WriteGate(recorder).beat(3, mode))
    assert recorder.calls == [{APC.STATE: str(mode), APC.HB: 3}]


def test_nothing_to_send_sends_nothing(plant: TinyPlant) -> None:
    recorder = Recorder()
    asyncio.run(WriteGate(recorder).send(withhold("why"), leave(plant)))
    assert recorder.calls == []
