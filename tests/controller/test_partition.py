"""Two controllers partitioned and healed a hundred times: one epoch at a time, and no bump."""

import asyncio
import itertools
import random

import pytest

from controller.data import Mode
from plant_models.signals import PlcMode
from plant_models.units import from_si
from tests.controller.kit import OWNED
from tests.controller.standby_kit import (
    PERIOD_S,
    Controller,
    Network,
    RulesPlant,
    config,
    holder,
    settle,
)

PARTITIONS = 100
SILENT_S = 15.0


class Play:
    """An active controller and its standby; who has lost its lease begins anew as a standby."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.plant = RulesPlant()
        self.network = Network(self.plant)
        self.config = config(promotion="automatic", signed_by="ada", silent_s=SILENT_S)
        self.epochs = itertools.count(1_000)
        self.active = self._controller("A", None)
        self.standby = self._controller("B", self.active)
        self.takeovers = 0

    def _controller(self, name: str, active: Controller | None) -> Controller:
        """The two want opposite things, far from where the line is."""
        limits = self.plant.parameters.limits
        wish = {tag: limits[tag].hi if name == "A" else limits[tag].lo for tag in OWNED}
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


def bumps(plant: RulesPlant) -> tuple[float, float]:
    """Worst move in rate steps: first frames after a grant, and what the set points really did."""
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
    for before, after in zip(plant.acts, plant.acts[PERIOD_S:], strict=False):
        for tag, step in steps.items():
            limit = plant.parameters.limits[tag]
            moved = abs(from_si(after[tag], limit.unit) - from_si(before[tag], limit.unit))
            real = max(real, moved / step)
    return first, real


@pytest.mark.xdist_group("partition")
def test_a_hundred_partitions_never_have_two_accepted_epochs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def scenario() -> Play:
        play = Play(seed=7)
        await play.periods(4)
        kinds = []
        for _ in range(PARTITIONS):
            await play.close()
            await play.periods(play.random.randint(1, 4))
            kinds.append(await play.partition())
        await play.close()
        await play.stop()
        assert len(set(kinds)) == 8
        return play

    play = asyncio.run(scenario())
    accepted = [(c.second, c.epoch) for c in play.plant.received if c.accepted]
    per_second: dict[int, set[int | None]] = {}
    for second, epoch in accepted:
        per_second.setdefault(second, set()).add(epoch)
    assert max(len(epochs) for epochs in per_second.values()) == 1
    order = [epoch for epoch, _ in itertools.groupby(epoch for _, epoch in accepted)]
    assert len(order) == len(set(order)), "an epoch came back after another was accepted"
    refused = [c.cause for c in play.plant.received if not c.accepted]
    first, real = bumps(play.plant)
    with capsys.disabled():
        print(
            f"\n{PARTITIONS} partitions: {play.takeovers} takeovers, {len(order)} epochs, "
            f"{len(accepted)} frames accepted, {len(refused)} refused; worst bump "
            f"{first:.3f} rate steps in a first frame, {real:.3f} in a control period"
        )
    assert play.takeovers >= 20
    assert len(refused) >= 20
    assert first <= 1.0 + 1e-9
    assert real <= 1.0 + 1e-6


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
