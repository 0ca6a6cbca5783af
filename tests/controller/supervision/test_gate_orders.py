"""An accepted advice on its way through the gate: an order in the operator's name, or why not."""

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from controller.config import SupervisionConfig
from controller.data import Mode
from controller.supervision.gate import Gate, OperatorOrder, WriteGate
from controller.supervision.gate_checks import NEEDED
from controller.supervision.permissives import Name, Permissive
from controller.supervision.roles import Action, refusal
from controller.validation import ValidationState, Validator
from plant_models.signals import MV, PLC, PlcMode
from tests.controller.kit import OWNED, PERIOD, TABLE, TinyPlant, bad, controller_config

GATE = Gate(table=TABLE, owned=frozenset(OWNED), period_s=PERIOD, plan_age_max_cycles=6)
VALIDATOR = Validator(TABLE, controller_config().validation, PlcMode.CASCADE)
CONFIG = SupervisionConfig()
TARGETS = {"potency": 1.0, "throughput": 20.0 / 3600.0}


def objection(user: str, role: str, reason: str) -> str:
    return refusal(Action.ANSWER_ADVICE, user, role, reason, CONFIG)


@dataclass
class Case:
    """An advice to raise the main force by one step, accepted in LOCAL with everything in order."""

    plant: TinyPlant = field(default_factory=TinyPlant)
    advice: dict[str, Any] = field(default_factory=dict)
    lost: tuple[Name, ...] = ()
    absent: tuple[Name, ...] = ()

    def __post_init__(self) -> None:
        for tag in OWNED:
            self.plant.values[f"{tag}/SRC"] = "LOCAL"

    def ask(self, **changes: Any) -> tuple[OperatorOrder | None, tuple[str, ...]]:
        snapshot = self.plant.snapshot()
        validated, _ = VALIDATOR.validate(snapshot, ValidationState())
        given: dict[str, Any] = {
            "mv": MV.MAIN_FORCE,
            "value": 7.45,
            "now": 7.25,
            "made": snapshot.time - 5.0,
            "expires": snapshot.time + 10.0,
            "computed_from": TARGETS,
            "user": "ada",
            "role": "operator",
            "reason": "weight is low",
            "objection": objection,
            "mode": Mode.ADVISORY,
            "permissives": {
                n: Permissive(
                    name=n, good=n not in self.lost, text="as told", since=0.0, lost_cycles=1
                )
                for n in Name
                if n not in self.absent
            },
            "targets": TARGETS,
            "validated": validated,
            "snapshot": snapshot,
        }
        return GATE.order(**given | self.advice | changes)

    def refusal(self, **changes: Any) -> str:
        order, reasons = self.ask(**changes)
        assert order is None
        (reason,) = reasons
        return reason


def test_an_accepted_advice_becomes_an_order_in_the_operators_name() -> None:
    order, reasons = Case().ask()
    assert reasons == ()
    assert order == OperatorOrder(mv=MV.MAIN_FORCE, value=7.45, user="ada", reason="weight is low")


@pytest.mark.parametrize("mode", [m for m in Mode if m is not Mode.ADVISORY])
def test_there_is_no_advice_outside_advisory(mode: Mode) -> None:
    assert Case().refusal(mode=mode) == f"there is no advice in {mode}"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"user": ""}, "nobody has asked"),
        ({"role": "observer"}, "ada has the role observer"),
        ({"reason": "  x "}, "a reason of at least 3 characters is needed"),
    ],
)
def test_user_role_and_reason_are_needed(changes: Mapping[str, str], text: str) -> None:
    assert text in Case().refusal(**changes)


def test_an_expired_advice_and_one_from_the_future_are_refused() -> None:
    case = Case()
    now = case.plant.time
    for span in (
        {"expires": now},
        {"expires": now - 5.0},
        {"made": now + 1.0},
        {"expires": math.nan},
        {"made": math.nan},
    ):
        assert case.refusal(**span) == "the advice has expired"
    assert case.ask(made=now, expires=now + 1e-3)[0] is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"targets": {**TARGETS, "potency": 0.99}},
        {"targets": {**TARGETS, "tablet_weight": 2e-4}},
        {"computed_from": {"potency": 1.0}},
        {"targets": {**TARGETS, "potency": math.nan}},
    ],
)
def test_an_advice_from_other_targets_is_refused(changes: dict[str, Any]) -> None:
    assert "has changed since" in Case().refusal(**changes)


def test_an_advice_that_does_not_say_what_it_was_computed_from_is_refused() -> None:
    assert "what it was computed from" in Case().refusal(computed_from={}, targets={})


def test_an_advice_from_another_set_point_is_refused() -> None:
    case = Case()
    case.plant.values[f"{MV.MAIN_FORCE}/ACT"] = 7.30  # a quarter of a step
    assert case.ask()[0] is not None
    case.plant.values[f"{MV.MAIN_FORCE}/ACT"] = 7.32
    assert case.refusal() == (f"{MV.MAIN_FORCE} is 7.32 kN; the advice was computed from 7.25 kN")


@pytest.mark.parametrize("mode", ["CASCADE", "REMOTE"])
def test_an_order_goes_to_the_plc_in_local_only(mode: str) -> None:
    case = Case()
    case.plant.values[PLC.MODE_ACT] = mode
    assert case.refusal() == f"the PLC is in {mode}: an operator sets set points in LOCAL"


@pytest.mark.parametrize("owner", ["LOOP", "SEQUENCE", "CONTROLLER", None])
def test_what_the_operator_does_not_own_is_not_ordered(owner: str | None) -> None:
    case = Case()
    case.plant.values[f"{MV.MAIN_FORCE}/SRC"] = owner
    assert case.refusal() == (
        f"{MV.MAIN_FORCE} is owned by {owner or 'nobody'}, not by the operator"
    )


def test_what_is_not_ours_or_not_available_is_not_ordered() -> None:
    assert "is not ours to move" in Case().refusal(mv=MV.FILL_DEPTH)
    assert "is not ours to move" in Case().refusal(mv="Line/Press/Nothing")
    case = Case()
    case.plant.values[f"{MV.MAIN_FORCE}/AVAIL"] = False
    assert case.refusal() == f"{MV.MAIN_FORCE} is not available"
    case = Case()
    bad(case.plant, f"{MV.MAIN_FORCE}/ACT")
    assert case.refusal() == f"{MV.MAIN_FORCE} is not available"


@pytest.mark.parametrize("name", sorted(Name))
def test_every_permissive_is_needed_but_those_of_modes_and_readiness(name: Name) -> None:
    spared = {Name.PLC_MODE, Name.OPERATOR, Name.READINESS}
    if name in spared:
        assert Case(lost=(name,)).ask()[0] is not None
        assert Case(absent=(name,)).ask()[0] is not None
        return
    assert Case(lost=(name,)).refusal() == f"{name}: as told"
    if name in NEEDED:
        assert Case(absent=(name,)).refusal() == f"{name}: not evaluated"


def test_without_data_nothing_is_ordered() -> None:
    assert Case().refusal(validated=None) == "there are no data of this cycle"


@pytest.mark.parametrize("changes", [{"value": math.nan}, {"value": math.inf}, {"now": math.nan}])
def test_an_advice_that_is_no_number_is_refused(changes: Mapping[str, float]) -> None:
    assert Case().refusal(**changes) == f"{MV.MAIN_FORCE}: the advice is not a number"


def test_nothing_is_clipped_because_the_operator_agreed_to_this_value() -> None:
    case = Case()
    case.plant.values[f"{MV.MAIN_FORCE}/HI"] = 7.4
    assert "7.45 lies outside 5..7.4 kN, which holds now" in case.refusal()
    assert "more than one move" in Case().refusal(value=7.46)
    narrow = {MV.MAIN_FORCE: (7000.0, 7440.0)}
    assert "lies outside 7..7.44 kN" in Case().refusal(limits=narrow)
    case = Case()
    case.plant.values[f"{MV.MAIN_FORCE}/RATE_UP"] = 0.1
    assert "more than one move" in case.refusal()


def test_unreadable_clamps_are_no_permission() -> None:
    case = Case()
    bad(case.plant, f"{MV.MAIN_FORCE}/HI")
    assert case.refusal() == f"{MV.MAIN_FORCE}/HI is unreadable"


class Port:
    def __init__(self) -> None:
        self.calls: list[tuple[str, float, str]] = []
        self.writes: list[object] = []

    async def operator_set(self, mv: str, value: float, reason: str) -> str:
        self.calls.append((mv, value, reason))
        return "done"

    async def write(self, writes: object) -> dict[str, int]:
        self.writes.append(writes)
        return {}


def test_an_order_is_carried_out_by_the_operators_session_and_writes_no_node() -> None:
    port = Port()
    order, _ = Case().ask()
    assert order is not None
    assert asyncio.run(WriteGate(port, port).order(order)) == "done"
    assert port.calls == [(MV.MAIN_FORCE, 7.45, "ada: weight is low")]
    assert port.writes == []


def test_without_an_operators_session_the_operator_enters_the_move() -> None:
    order, _ = Case().ask()
    assert order is not None
    answer = asyncio.run(WriteGate(Port()).order(order))
    assert answer == "no operator's session is configured: enter the move at the PLC"
