"""Hypothesis drives the real objects: supervision, gate, `WriteGate`, and the PLC's own handshake.

Rules are what may happen between two cycles; after every cycle the judge of `oracle` looks at what
was shown and what arrived. The plant is the one of the fuzz: the PLC's state changes only through
the rules of `hil.plc`, and `WriteGate` writes into it.
"""

import math

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from controller.data import Mode
from controller.supervision.modes import ModeRequest
from hil.plc.modes import owner
from plant_models.signals import APC, BAD, MV, PLC, LineState, PlcMode, Value
from tests.controller.supervision.oracle import Mv, Oracle, Rules
from tools.benchmarks.supervision_fuzz import Fuzz
from tools.benchmarks.supervision_plant import FORCE
from tools.benchmarks.supervision_rules import rules_of
from tools.benchmarks.supervision_scene import OWNED, scene

STAGE = scene()
NUMBERS = st.sampled_from([math.nan, math.inf, -math.inf, -1.0, 0.0, 1e9])
TAGS = [
    *(f"{tag}/{part}" for tag in OWNED for part in ("ACT", "LO", "HI", "RATE_UP", "RATE_DN")),
    FORCE,
    PLC.HB,
]


class Calm(Fuzz):
    """The fuzz without its own dice: only what the rules do happens, and whom they let ask."""

    def __init__(self, judge: Oracle) -> None:
        super().__init__(STAGE, judge, seed=1)
        self.befalls.chance = 0.0
        self.wishes: list[ModeRequest] = []

    def _ask(self) -> list[ModeRequest]:
        wishes, self.wishes = self.wishes, []
        return wishes


class Supervised(RuleBasedStateMachine):
    """A controller in closed loop, or on its way there, and everything that may befall it."""

    @initialize()
    def start(self) -> None:
        self.run = Calm(Oracle(Rules(**rules_of(STAGE, Mv)), epoch=1))
        self.broken: list[str] = []

    def _cycle(self, cycles: int = 1) -> None:
        for _ in range(cycles):
            self.broken += self.run.cycle()

    def _ask(self, mode: Mode, role: str = "operator", reason: str = "because") -> None:
        self.run.wishes.append(ModeRequest(mode=mode, user="ada", role=role, reason=reason))

    @property
    def mode(self) -> Mode:
        return self.run.rig.mode

    # People

    @rule(mode=st.sampled_from(Mode), role=st.sampled_from(["operator", "observer", ""]))
    def somebody_asks(self, mode: Mode, role: str) -> None:
        self._ask(mode, role)
        self._cycle()

    @precondition(lambda self: self.mode is not Mode.CLOSED_LOOP)
    @rule()
    def the_operator_climbs(self) -> None:
        up = {Mode.OFF: Mode.MONITORING, Mode.ADVISORY: Mode.CLOSED_LOOP}
        self._cycle(4)
        self._ask(up.get(self.mode, Mode.ADVISORY))
        self._cycle(2)

    @rule()
    def the_operator_takes_the_plc_back(self) -> None:
        self.run.plant.to_local()
        self._cycle()

    @rule(tag=st.sampled_from(OWNED), local=st.booleans())
    def the_operator_keeps_a_set_point(self, tag: str, local: bool) -> None:
        self.run.plant.keep_local(tag, local)
        self._cycle()

    # The plant

    @rule(state=st.sampled_from(LineState), cycles=st.integers(1, 14))
    def the_line_goes_and_comes(self, state: LineState, cycles: int) -> None:
        self.run.plant.line(state)
        self._cycle(cycles)
        self.run.plant.line(LineState.RUNNING)

    @rule(cycles=st.integers(1, 3))
    def an_interlock_trips(self, cycles: int) -> None:
        self.run.plant.line(LineState.HOLDING, "chute overflow")
        self._cycle(cycles)
        self.run.plant.line(LineState.RUNNING)

    @rule(tag=st.sampled_from(TAGS), value=NUMBERS, cycles=st.integers(0, 5))
    def a_tag_shows_nonsense(self, tag: str, value: float, cycles: int) -> None:
        plant = self.run.plant
        plant.lie(tag, self.run.cycles + 1 + cycles, lambda v: Value(value, 0, v.source_time))
        self._cycle()

    @rule(
        tag=st.sampled_from([*TAGS, PLC.PERMIT, PLC.MODE_ACT, PLC.RECIPE_ID, APC.EPOCH]),
        cycles=st.integers(0, 5),
    )
    def a_tag_is_bad(self, tag: str, cycles: int) -> None:
        until = self.run.cycles + 1 + cycles
        self.run.plant.lie(tag, until, lambda v: Value(v.value, BAD, v.source_time))
        self._cycle()

    @rule(share=st.floats(-0.1, 1.1), tag=st.sampled_from(OWNED))
    def a_set_point_is_found_elsewhere(self, tag: str, share: float) -> None:
        limit = self.run.plant.parameters.limits[tag]
        self.run.plant.move(tag, limit.lo + share * (limit.hi - limit.lo))
        self._cycle()

    @rule(fault=st.sampled_from(["lost", "late", "denied", "altered"]))
    def a_write_fails(self, fault: str) -> None:
        self.run.plant.write_fault = fault
        self._cycle(2)

    @rule(cycles=st.integers(1, 4))
    def the_link_is_lost(self, cycles: int) -> None:
        self.run.befalls.linked = False
        self._cycle(cycles)
        self.run.befalls.linked = True

    @rule(seconds=st.sampled_from([0, 1, 5, 10, 40]))
    def time_passes(self, seconds: int) -> None:
        self.run.plant.tick(seconds)
        self._cycle()

    @rule()
    def another_controller_takes_over_and_we_are_started_anew(self) -> None:
        self.run.plant.other_controller(77_000_000 + self.run.cycles)
        self._cycle(2)
        self.run.plant.to_local()
        self.run.befalls.restart = True
        self._cycle()

    # The algorithm and the limits

    @rule(
        plan=st.sampled_from(["none", "old", "elsewhen", "not a number", "wild", "unsolved"]),
        cycles=st.integers(1, 6),
    )
    def the_plan_is_wrong(self, plan: str, cycles: int) -> None:
        self.run.befalls.plan = plan
        self._cycle(cycles)
        self.run.befalls.plan = ""

    @rule(cycles=st.integers(1, 7))
    def the_estimate_goes_astray(self, cycles: int) -> None:
        self.run.befalls.converges = False
        self._cycle(cycles)
        self.run.befalls.converges = True

    @rule(lo=st.floats(-0.2, 1.2), width=st.floats(-0.3, 1.0), tag=st.sampled_from(OWNED))
    def a_range_is_narrowed(self, tag: str, lo: float, width: float) -> None:
        limit = self.run.plant.parameters.limits[tag]
        span, low = limit.hi - limit.lo, limit.lo + lo * (limit.hi - limit.lo)
        self.run.befalls.limits = {tag: (low, low + width * span)}
        self._cycle(2)
        self.run.befalls.limits = {}

    # What must hold

    @invariant()
    def nothing_unsafe_was_written(self) -> None:
        assert self.broken == []

    @invariant()
    def the_plant_holds_what_it_was_told_within_its_range(self) -> None:
        """Neither side trusts the other: the PLC's own rules hold too."""
        plant = self.run.plant
        for tag, mv in plant.state.mvs.items():
            limit, slack = plant.parameters.limits[tag], 1e-9
            if owner(plant.parameters, plant.state, tag) == "CONTROLLER" and mv.act != mv.target:
                assert limit.lo - slack <= mv.target <= limit.hi + slack

    @invariant()
    def a_closed_loop_that_is_not_suspended_has_the_lease(self) -> None:
        rig, lease = self.run.rig, self.run.plant.state.lease
        closed = rig.mode is Mode.CLOSED_LOOP and rig.supervision.suspended_since is None
        if closed and rig.last is not None and rig.last.frame is not None:
            assert rig.last.frame.epoch == lease.epoch or lease.mode is PlcMode.LOCAL


Supervised.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestSupervised = Supervised.TestCase


def test_the_machine_can_close_the_loop_and_frames_are_taken() -> None:
    machine = Supervised()
    machine.start()
    for _ in range(6):
        if machine.mode is not Mode.CLOSED_LOOP:
            machine.the_operator_climbs()
    machine.time_passes(5)
    assert machine.mode is Mode.CLOSED_LOOP
    assert machine.run.plant.state.lease.accepted_count > 0
    assert machine.run.plant.state.mvs[MV.MAIN_FORCE].act != 7250.0
