"""Two controllers partitioned and healed a hundred times: one epoch at a time, and no bump."""

import asyncio
import itertools
import random

import pytest

from controller.data import Mode
from hil.plant import Plant
from hil.plc.handshake import ReceivedFrame, Refusal
from hil.plc.parameters import PlcParameters
from hil.plc.state import PlcState
from plant_models.signals import MV, PlcMode
from plant_models.units import from_si
from tests.controller.standby_kit import (
    PERIOD_S,
    Controller,
    Network,
    config,
    holder,
    settle,
)
from tests.hil.plc_kit import running_plant

PARTITIONS = 100
SILENT_S = 15.0

# How far each of the two wants to be from the recipe.
APART = {
    MV.API_RATIO: 0.02,
    MV.MAIN_FORCE: 0.03,
    MV.THICKNESS: 0.01,
}


class Play:
    """An active controller and its standby; who has lost its lease begins anew as a standby."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.plant = running_plant()
        # The turret is kept at the line, so that the PLC's own loop holds the level meanwhile.
        self.plant.set_local("ada", MV.TURRET_SPEED, True, "test of the network")
        self.network = Network(self.plant)
        self.config = config(promotion="automatic", signed_by="ada", silent_s=SILENT_S)
        self.epochs = itertools.count(1_000)
        self.active = self._controller("A", None)
        self.standby = self._controller("B", self.active)
        self.takeovers = 0

    def _controller(self, name: str, active: Controller | None) -> Controller:
        """The two want different things, several rate steps apart."""
        side = 1.0 if name == "A" else -1.0
        limits = self.plant.parameters.limits
        wish = {tag: limits[tag].nominal * (1.0 + side * share) for tag, share in APART.items()}
        return Controller(self.network, name, next(self.epochs), wish, self.config, active)

    async def periods(self, number: int) -> None:
        for _ in range(number):
            self.network.advance()
            await settle(self.active, self.standby)

    async def asked(self, controller: Controller, mode: Mode) -> str:
        """An operator asks, and the plant goes on until there is an answer."""
        asking = asyncio.create_task(controller.ask(mode))
        await asyncio.sleep(0.0)
        for _ in range(8):
            await self.periods(1)
            if asking.done():
                break
        _, answer = await asyncio.wait_for(asking, 20.0)
        return answer

    async def close(self) -> None:
        """Somebody holds the plant again: by itself or by an operator; a loser is a new standby."""
        if not self.standby.silent:
            self.takeovers += 1
            await self.active.stop()
            self.active = self.standby
            name = "A" if self.active.name == "B" else "B"
            self.standby = self._controller(name, self.active)
            await self.periods(1)
        answer = ""
        for _ in range(40):
            if self.active.closed:
                return
            wanted = (
                Mode.CLOSED_LOOP if self.active.runtime.mode is Mode.ADVISORY else Mode.ADVISORY
            )
            answer = await self.asked(self.active, wanted)
        raise AssertionError(f"no loop closed: {self.active.runtime.mode}, {answer}")

    async def partition(self) -> str:
        """Cut something for a while, and heal it."""
        a, b = self.active.name, self.standby.name
        kind = self.random.choice(
            ("active", "alone", "between", "standby", "deaf", "slow", "slow", "frozen", "all")
        )
        links = {
            "active": [{a, "plant"}],
            "alone": [{a, "plant"}, {a, b}],
            "between": [{a, b}],
            "standby": [{b, "plant"}],
            "all": [{a, "plant"}, {b, "plant"}, {a, b}],
        }
        self.network.delay_s = self.random.choice((None, 4, 9, 30, 60))
        self.network.cut = {frozenset(pair) for pair in links.get(kind, [])}
        if kind == "deaf":
            self.network.deaf = {a}
        if kind == "slow":
            self.network.slow = {a}
        if kind == "frozen":
            self.network.frozen = {a}
        await self.periods(self.random.randint(1, 14))
        network = self.network
        network.cut, network.deaf, network.slow, network.frozen = set(), set(), set(), set()
        await self.periods(2)
        return kind

    async def stop(self) -> None:
        await self.active.stop()
        await self.standby.stop()


def bumps(network: Network) -> tuple[float, float]:
    """Worst move in rate steps: first frames after a grant, and what the set points really did.

    In use are counted those that controllers move and a shed takes back; the PLC's own loops, fill
    depth and total feed here, follow rates of their own.
    """
    plant, acts = network.plant, network.acts
    steps = {
        m.tag: m.rate * PERIOD_S for m in plant.table.manipulated
    }  # plant units per control period
    first = max(
        abs(request - command.previous[tag]) / steps[tag]
        for command in plant.received
        if command.accepted and command.first
        for tag in command.owned
        if (request := command.requests[tag]) is not None
    )
    real = 0.0
    for before, after in zip(acts, acts[PERIOD_S:], strict=False):
        for tag in APART:
            limit, step = plant.parameters.limits[tag], steps[tag]
            moved = abs(from_si(after[tag], limit.unit) - from_si(before[tag], limit.unit))
            real = max(real, moved / step)
    return first, real


async def played(partitions: int, seed: int) -> Play:
    """So many partitions, each healed and somebody in command again before the next."""
    play = Play(seed)
    await play.periods(4)
    kinds = []
    for _ in range(partitions):
        await play.close()
        await play.periods(play.random.randint(1, 4))
        kinds.append(await play.partition())
    await play.close()
    await play.stop()
    assert len(set(kinds)) >= min(8, partitions // 4)
    return play


def accepted_epochs(plant: Plant) -> tuple[int, list[int | None]]:
    """Most epochs accepted within one second, and the epochs in the order of their commands."""
    taken = [c for c in plant.received if c.accepted]
    per_second = [
        {c.epoch for c in group} for _, group in itertools.groupby(taken, key=lambda c: c.second)
    ]
    order = [epoch for epoch, _ in itertools.groupby(c.epoch for c in taken)]
    return max(len(epochs) for epochs in per_second), order


@pytest.mark.xdist_group("partition")
def test_a_hundred_partitions_never_have_two_accepted_epochs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    play = asyncio.run(played(PARTITIONS, seed=7))
    at_once, order = accepted_epochs(play.plant)
    assert at_once == 1
    assert len(order) == len(set(order)), "an epoch came back after another was accepted"
    refused = sum(not c.accepted for c in play.plant.received)
    first, real = bumps(play.network)
    with capsys.disabled():
        print(
            f"\n{PARTITIONS} partitions: {play.takeovers} takeovers, {len(order)} epochs, "
            f"{len(play.plant.received) - refused} frames accepted, {refused} refused; worst bump "
            f"{first:.3f} rate steps in a first frame, {real:.3f} in a control period"
        )
    assert play.takeovers >= 20
    assert refused >= 10
    assert first <= 1.0 + 1e-9
    assert real <= 1.0 + 1e-6


@pytest.mark.xdist_group("partition")
def test_without_the_rules_of_the_plc_an_old_epoch_would_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the test above counts does happen where nothing prevents it."""

    def lenient(p: PlcParameters, state: PlcState, frame: ReceivedFrame) -> Refusal | None:
        controlled = state.lease.active and state.lease.mode is not PlcMode.LOCAL
        return None if controlled else Refusal.MODE

    monkeypatch.setattr("hil.plc.handshake.judge_frame", lenient)
    monkeypatch.setattr(Plant, "_may_write", lambda self, session: True)

    async def scenario() -> Play:
        """A frame is held back for 80 s, in which the standby takes over."""
        play = Play(seed=1)
        await play.close()
        await play.periods(3)
        play.network.slow, play.network.delay_s = {"A"}, 80
        await play.periods(1)
        play.network.cut = {frozenset({"A", "plant"})}
        await play.periods(18)
        assert play.standby.closed
        await play.stop()
        return play

    _, order = accepted_epochs(asyncio.run(scenario()).plant)
    assert order[0] in order[1:]


def test_a_standby_writes_nothing_at_all() -> None:
    async def scenario() -> None:
        play = Play(seed=1)
        await play.close()
        await play.periods(10)
        assert play.standby.runtime.mode is Mode.MONITORING
        assert play.standby.link.writes == []
        assert play.standby.link.session not in {c.session for c in play.plant.received}
        assert holder(play.plant) == (PlcMode.CASCADE, play.active.epoch)
        await play.stop()
        assert play.standby.link.writes == []  # no farewell either

    asyncio.run(scenario())
