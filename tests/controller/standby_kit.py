"""Two controllers at one plant in one process, with a network between them that can be cut.

Runtimes and standbys are the real ones; what is played is the network: every link to the plant and
between the controllers can be cut, lose its answers, or hold a write back and deliver it late.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.config import ControllerConfig
from controller.cycle_data import CycleOutput, initial_state, make_setup
from controller.data import CycleRecord, Mode
from controller.link.active import ActiveView
from controller.link.client import LinkLost, Progress, WriteTimeout
from controller.runtime import Runtime
from controller.standby_config import StandbyConfig
from controller.standby_runtime import Standby
from controller.supervision.modes import ModeRequest
from hil.plant import Plant
from plant_models.signals import PLC, Payload, Snapshot, Value
from tests.controller.kit import LINE, TABLE, TARGETS, FilterBrain, controller_config

PERIOD_S = 5


@dataclass
class Network:
    """Who is cut off from whom.

    ``deaf`` do not hear answers to writes; writes of the ``slow`` arrive after ``delay_s``, or
    never; the ``frozen`` stop between reading and writing. ``late`` are writes on their way: due
    second, session, writes. ``acts`` are the set points in use [SI], second by second.
    """

    plant: Plant
    cut: set[frozenset[str]] = field(default_factory=set)
    deaf: set[str] = field(default_factory=set)
    slow: set[str] = field(default_factory=set)
    frozen: set[str] = field(default_factory=set)
    delay_s: int | None = None
    late: list[tuple[int, str, dict[str, Payload]]] = field(default_factory=list)
    acts: list[dict[str, float]] = field(default_factory=list)
    tick: asyncio.Event = field(default_factory=asyncio.Event)

    def apart(self, one: str, other: str) -> bool:
        return frozenset({one, other}) in self.cut

    def advance(self) -> None:
        """One control period; what was held back arrives in it, second by second."""
        for _ in range(PERIOD_S):
            self.plant.advance(1)
            self.acts.append({tag: mv.act for tag, mv in self.plant.state.mvs.items()})
            due = [item for item in self.late if item[0] <= self.plant.second]
            self.late = [item for item in self.late if item[0] > self.plant.second]
            for _, session, writes in due:
                self.plant.write(session, writes)
        tick, self.tick = self.tick, asyncio.Event()
        tick.set()


@dataclass
class PlayedLink:
    """What `controller.link.client.PlantLink` offers."""

    network: Network
    name: str
    session: str = ""
    up: bool = False
    disagreements: tuple[str, ...] = ()
    certificates: Mapping[str, float] = field(default_factory=dict)
    connections: int = 0
    writes: list[dict[str, Payload]] = field(default_factory=list)

    def _reach(self) -> None:
        if not self.up or self.network.apart(self.name, "plant"):
            raise LinkLost("the network is cut")

    async def connect(self) -> None:
        if self.network.apart(self.name, "plant"):
            raise LinkLost("the network is cut")
        self.connections += 1
        self.session = f"{self.name}-{self.connections}"
        self.up = True

    async def drop(self) -> None:
        """A session whose network is cut is not released: the plant learns nothing."""
        if self.up and not self.network.apart(self.name, "plant"):
            self.network.plant.release_session(self.session)
        self.up = False

    async def next_cycle(self, last: Progress | None, period_s: float) -> Progress:
        while True:
            self._reach()
            second = self.network.plant.second
            if last is None or second >= last.heartbeat + period_s:
                return Progress(second, second, 0.0)
            await self.network.tick.wait()

    async def read(self) -> Snapshot:
        self._reach()
        plant = self.network.plant
        return Snapshot(time=plant.time, scan_id=plant.second, values=plant.values())

    async def look(self, *tags: str) -> Mapping[str, Value]:
        self._reach()
        values = self.network.plant.values()
        return {tag: values[tag] for tag in tags}

    async def write(self, writes: Mapping[str, Payload]) -> Mapping[str, int]:
        while self.name in self.network.frozen:
            await self.network.tick.wait()
        self.writes.append(dict(writes))
        network, sent = self.network, dict(writes)
        if not self.up or network.apart(self.name, "plant") or self.name in network.slow:
            if network.delay_s is not None:
                due = network.plant.second + network.delay_s
                network.late.append((due, self.session, sent))
            raise WriteTimeout("no answer")
        codes = network.plant.write(self.session, sent)
        if self.name in network.deaf:
            raise WriteTimeout("the answer is lost")
        return codes

    async def request_control(self, mode: str, epoch: int, reason: str) -> str:
        self._reach()
        return self.network.plant.request_control(self.session, "controller", mode, epoch, reason)


@dataclass
class PlayedActive:
    """What `controller.link.active.ActiveLink` offers: looks at another controller."""

    network: Network
    name: str
    other: Controller
    endpoint: str = "opc.tcp://127.0.0.1:4841"

    async def look(self) -> ActiveView:
        shown = self.other.shown
        if self.network.apart(self.name, self.other.name) or shown is None:
            raise LinkLost("the network is cut")
        output, link = shown
        return ActiveView(
            mode=str(output.state.mode),
            link=link,
            cycle=output.state.cycle,
            targets=dict(output.state.targets.set_points),
        )

    async def drop(self) -> None:
        pass


class PlantClock:
    """Plant time as the clock of the runtimes."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant

    def now(self) -> float:
        return self._plant.time

    def monotonic(self) -> float:
        return float(self._plant.second)


class Controller:
    """One controller with its runtime; a standby if it is told which one to watch."""

    def __init__(
        self,
        network: Network,
        name: str,
        epoch: int,
        wish: Mapping[str, float],
        config: ControllerConfig,
        active: Controller | None = None,
    ) -> None:
        self.name, self.epoch, self.network = name, epoch, network
        self.shown: tuple[CycleOutput, str] | None = None
        self.second = -1
        self.link = PlayedLink(network, name)
        setup = make_setup(config, LINE, TABLE, FilterBrain(wish=wish), TARGETS)
        self.standby = (
            None
            if active is None
            else Standby(
                config.supervision.standby,
                PlayedActive(network, name, active),
                self.link,
                self,
                self._show,
            )
        )
        self.runtime = Runtime(
            setup,
            initial_state(setup, epoch),
            self.link,  # type: ignore[arg-type]
            self if self.standby is None else self.standby,
            lambda: self,
            PlantClock(network.plant),
            (lambda: False) if self.standby is None else (lambda: self.silent),
        )
        self._stop = asyncio.Event()
        self._tasks = [asyncio.create_task(self.runtime.run(self._stop))]
        if self.standby is not None:
            self.standby.serve(self.runtime)
            self._tasks.append(asyncio.create_task(self.standby.run(self._stop)))

    @property
    def silent(self) -> bool:
        return self.standby is not None and self.standby.silent

    @property
    def closed(self) -> bool:
        return self.runtime.mode is Mode.CLOSED_LOOP

    async def publish(self, output: CycleOutput, link: str) -> None:
        self.shown = (output, link)
        if output.record.extra["had_snapshot"]:
            self.second = self.network.plant.second

    async def _show(self, values: Mapping[str, Any], time: float) -> None:
        pass

    def append(self, output: CycleOutput, record: CycleRecord | None = None) -> None:
        pass

    def close(self) -> None:
        pass

    async def ask(self, mode: Mode) -> tuple[bool, str]:
        """An operator asks; who is not answered within a cycle asks again another time."""
        request = ModeRequest(mode=mode, user="ada", role="operator", reason="test of the network")
        desk = self.runtime if self.standby is None else self.standby
        return await desk.ask(request)

    async def stop(self) -> None:
        self._stop.set()
        await asyncio.wait_for(asyncio.gather(*self._tasks), 10.0)

    def caught_up(self) -> bool:
        """Whether it has done what it can do in this period."""
        plant, name = self.network.plant, self.name
        if name in self.network.frozen:
            return True
        looked = self.standby is None or not self.standby.silent
        if self.network.apart(name, "plant"):
            return not self.link.up
        looked = looked or self.standby._state.second == plant.second  # type: ignore[union-attr]
        return self.link.up and self.second == plant.second and looked


async def settle(*controllers: Controller) -> None:
    """Wait until every controller has run its cycle at this plant second."""
    until = time.monotonic() + 20.0
    while not all(c.caught_up() for c in controllers):
        if time.monotonic() > until:
            raise AssertionError(
                [(c.name, c.link.up, c.second, c.runtime.mode) for c in controllers]
            )
        await asyncio.sleep(0.0005)


def config(**standby: Any) -> ControllerConfig:
    """The shipped settings, with short waits, since the network is played.

    What moves the set points here is no controller, so the forces may disagree more than usual.
    """
    shipped = controller_config("pid")
    measurement = shipped.supervision.measurement
    wide = {"drift_percent": 30.0, "bias_percent": 40.0, "lost_percent": 50.0}
    forces = measurement.forces.model_copy(update=wide)
    supervision = shipped.supervision.model_copy(
        update={
            "solver_cycles": 2,
            "standby": StandbyConfig(look_s=0.001, **standby),
            "measurement": measurement.model_copy(update={"forces": forces}),
        }
    )
    link = shipped.link.model_copy(update={"reconnect_min_s": 0.0005, "reconnect_max_s": 0.001})
    return shipped.model_copy(update={"supervision": supervision, "link": link})


def holder(plant: Plant) -> tuple[str, int]:
    """Mode of the PLC and the epoch that holds it."""
    values = plant.values()
    return str(values[PLC.MODE_ACT].value), plant.state.lease.epoch
