"""The write gate: what it lets out, what it refuses, and that nobody else can write."""

import ast
import asyncio
import inspect
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.data import Command, Mode, Plan, ReachedBy
from controller.supervision.bumpless import Bounds, limited_move, ramp
from controller.supervision.gate import Gate, WriteGate, withhold
from controller.validation import ValidationState, Validator
from plant_models.signals import APC, MV, CommandFrame, PlcMode
from tests.controller.kit import EPOCH, OWNED, PERIOD, TABLE, TinyPlant, bad, controller_config

GATE = Gate(table=TABLE, owned=frozenset(OWNED), period_s=PERIOD, plan_age_max_cycles=6)
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


def decide(
    plant: TinyPlant,
    plan: Plan | None,
    *,
    sequence: int = 0,
    share: float = 1.0,
    epoch: int = EPOCH,
) -> Command:
    snapshot = plant.snapshot()
    validated, _ = VALIDATOR.validate(snapshot, ValidationState())
    return GATE.decide(plan, validated, snapshot, epoch=epoch, sequence=sequence, share=share)


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
        ({"time": 0.0}, "another time"),
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
    asyncio.run(WriteGate(recorder).send(command, Mode.CLOSED_LOOP))
    (call,) = recorder.calls
    assert (next(iter(call)), next(reversed(call))) == (APC.SEQ_HEAD, APC.SEQ_TAIL)
    assert {f"{m.tag}/REQ" for m in TABLE.manipulated} < set(call)


@pytest.mark.parametrize("mode", [m for m in Mode if m is not Mode.CLOSED_LOOP])
def test_outside_closed_loop_only_heartbeat_and_state_are_written(
    plant: TinyPlant, mode: Mode
) -> None:
    command = decide(plant, plan_for(plant, {MV.MAIN_FORCE: 7300.0}))
    recorder = Recorder()
    gate = WriteGate(recorder)

    async def cycle() -> None:
        assert await gate.send(command, mode) == {}
        await gate.beat(3, mode)

    asyncio.run(cycle())
    assert recorder.calls == [{APC.STATE: str(mode), APC.HB: 3}]


def test_nothing_to_send_sends_nothing() -> None:
    recorder = Recorder()
    asyncio.run(WriteGate(recorder).send(withhold("why"), Mode.CLOSED_LOOP))
    assert recorder.calls == []


def test_the_gate_does_not_hand_out_its_writer() -> None:
    public = [n for n, _ in inspect.getmembers(WriteGate(Recorder())) if not n.startswith("_")]
    assert public == ["beat", "send"]


def _sources(root: Path) -> dict[str, ast.Module]:
    return {
        path.relative_to(root).as_posix(): ast.parse(path.read_text("utf-8"))
        for path in sorted((root / "controller").rglob("*.py"))
    }


def test_only_the_gate_builds_command_frames(root: Path) -> None:
    builders = {
        name
        for name, tree in _sources(root).items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", getattr(node.func, "attr", "")) == CommandFrame.__name__
    }
    assert builders == {"controller/supervision/gate.py"}


def test_only_the_gate_names_requests_and_frame_tags(root: Path) -> None:
    """Nobody else in the controller refers to a tag that a command writes."""
    frame_tags = {"SEQ_HEAD", "SEQ_TAIL", "ECHO", "DIVERT_REQ"}
    users = {
        name
        for name, tree in _sources(root).items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr in frame_tags
        and isinstance(node.value, ast.Name)
        and node.value.id == APC.__name__
    }
    assert users <= {"controller/supervision/gate.py"}
    writers = {
        name
        for name, tree in _sources(root).items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "as_writes"
    }
    assert writers == {"controller/supervision/gate.py"}
