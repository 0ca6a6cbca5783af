"""Carries a standby out: looks, stays between operators and the runtime, and takes over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from controller.cycle_data import CycleOutput, TargetRequest
from controller.data import Mode
from controller.link.active import ActiveView
from controller.link.errors import LinkError
from controller.link.server_values import Shown
from controller.standby import PlantView, Verdict, WatchState, verdict, watch
from controller.standby_config import StandbyConfig
from controller.supervision.modes import ModeRequest
from plant_models.signals import APC, PLC, PlcMode, Value, is_good

__all__ = ["Standby"]

log = logging.getLogger(__name__)

_TAGS = (PLC.HB, PLC.MODE_ACT, PLC.LINE_STATE, APC.HB, APC.STATE, APC.EPOCH)
_SAME = 1e-9


class _Active(Protocol):
    """`controller.link.active.ActiveLink`."""

    endpoint: str

    async def look(self) -> ActiveView: ...

    async def drop(self) -> None: ...


class _Plant(Protocol):
    """What is needed of the link to the plant."""

    @property
    def up(self) -> bool: ...

    async def look(self, *tags: str) -> Mapping[str, Value]: ...


class _Runtime(Protocol):
    """What is needed of the controller that stands by."""

    @property
    def mode(self) -> Mode: ...

    async def ask(self, request: object) -> tuple[bool, str]: ...


class _View(Protocol):
    """Where operators see the controller."""

    async def publish(self, output: CycleOutput, link: str) -> None: ...


class Standby:
    """Silent until it is promoted; afterwards an ordinary controller.

    It is the view of the runtime and hands what it sees on to operators; operators' requests come
    through it. While it stands by, a request for ADVISORY promotes it, and targets are those of the
    active controller.

    Parameters
    ----------
    config
        When it may take over.
    active, plant
        Where it looks.
    view
        Operators' view.
    show
        Shows values by path below ``Controller`` there, at a plant time [s, UTC].

    Attributes
    ----------
    silent : bool
        Whether nothing at all may be written.
    """

    def __init__(
        self,
        config: StandbyConfig,
        active: _Active,
        plant: _Plant,
        view: _View,
        show: Callable[[Mapping[str, Shown], float], Awaitable[None]],
    ) -> None:
        self._config, self._active, self._plant = config, active, plant
        self._view, self._show = view, show
        self._runtime: _Runtime | None = None
        self._state = WatchState()
        self._seen: ActiveView | None = None
        self._verdict = Verdict(False, "nothing was seen yet")
        self._targets: dict[str, float] = {}
        self._own: Mapping[str, float] = {}
        self._trouble, self._by_itself = "", False
        self.silent = True

    def serve(self, runtime: _Runtime) -> None:
        """Stand between operators and ``runtime`` from now on."""
        self._runtime = runtime

    def _controller(self) -> _Runtime:
        if self._runtime is None:
            raise RuntimeError("serve a runtime first")
        return self._runtime

    # Operators

    async def publish(self, output: CycleOutput, link: str) -> None:
        """Show a cycle, and what is known of the active controller."""
        self._own = output.state.targets.set_points
        await self._view.publish(output, link)
        seen = self._seen
        values: dict[str, Shown] = {
            "Standby/Silent": self.silent,
            "Standby/Active": self._active.endpoint,
            "Standby/ActiveMode": seen.mode if seen is not None else "",
            "Standby/ActiveCycle": seen.cycle if seen is not None else -1,
            "Standby/ActiveSilentSeconds": self._state.silent_s,
            "Standby/Verdict": self._verdict.text,
            "Standby/Trouble": self._trouble,
        }
        await self._show(values, output.record.time)

    async def ask_mode(self, request: ModeRequest) -> tuple[bool, str]:
        """Ask for a mode; ADVISORY promotes a standby. Nothing is done automatically after that."""
        self._by_itself = False
        accepted, text = await self._controller().ask(request)
        if accepted and self.silent and request.mode is Mode.ADVISORY:
            self._promote(f"{request.user}: {request.reason}")
            text += f"; promoted, no longer a standby ({self._verdict.text})"
        return accepted, text

    async def ask_target(self, request: TargetRequest) -> tuple[bool, str]:
        """Ask for a target; a standby has those of the active controller."""
        if self.silent:
            return False, (
                f"this controller stands by and follows the targets of {self._active.endpoint}: "
                "set it there, or ask this one for ADVISORY first"
            )
        return await self._controller().ask(request)

    async def ask(self, request: Any) -> tuple[bool, str]:
        """Any request of an operator."""
        if isinstance(request, ModeRequest):
            return await self.ask_mode(request)
        if isinstance(request, TargetRequest):
            return await self.ask_target(request)
        return await self._controller().ask(request)

    def _promote(self, why: str) -> None:
        self.silent = False
        log.warning("promoted from standby of %s: %s", self._active.endpoint, why)

    # Looking

    async def run(self, stop: asyncio.Event) -> None:
        """Look until promoted or told to stop."""
        try:
            while not stop.is_set() and self.silent:
                await self.look()
                if self._verdict.take:
                    await self._take_over(stop)
                await _pause(stop, self._config.look_s)
        finally:
            await self._active.drop()

    async def look(self) -> None:
        """Look once at both, and follow the targets of the active controller."""
        active, plant = await asyncio.gather(self._look_active(), self._look_plant())
        self._seen = active
        if plant is None:
            self._verdict = Verdict(False, "the plant is not seen")
            return
        self._state = watch(self._state, plant, active)
        self._verdict = verdict(self._state, plant, self._config)
        if active is not None and self.silent:
            await self._follow(active)

    async def _look_active(self) -> ActiveView | None:
        try:
            seen = await self._active.look()
        except LinkError as error:
            if str(error) != self._trouble:
                log.warning("the active controller is not seen: %s", error)
            self._trouble = str(error)
            return None
        self._trouble = ""
        return seen

    async def _look_plant(self) -> PlantView | None:
        if not self._plant.up:
            return None
        try:
            values = await self._plant.look(*_TAGS)
        except LinkError as error:
            log.info("the plant is not seen: %s", error)
            return None
        return _plant_view(values)

    async def _follow(self, active: ActiveView) -> None:
        """Take over targets that differ; each value is tried once."""
        for variable, value in active.targets.items():
            own = self._own.get(variable)
            if own is None or abs(value - own) <= _SAME * max(abs(value), abs(own)):
                continue
            if self._targets.get(variable) == value:
                continue
            self._targets[variable] = value
            request = TargetRequest(
                variable=variable,
                value=value,
                user=self._config.signed_by or "standby",
                role=self._config.signed_role,
                reason=f"as at {self._active.endpoint}",
            )
            accepted, text = await self._controller().ask(request)
            if not accepted:
                log.warning("the active target of %s is not followed: %s", variable, text)

    # Taking over by itself

    async def _take_over(self, stop: asyncio.Event) -> None:
        """Climb to CLOSED_LOOP as configured; until an operator asks, or somebody else holds it."""
        why = f"automatic takeover as configured: {self._verdict.text}"
        runtime, loop = self._controller(), asyncio.get_running_loop()
        until = loop.time() + self._config.give_up_s
        text, self._by_itself = "", True
        while not stop.is_set() and loop.time() < until:
            if runtime.mode is Mode.CLOSED_LOOP:
                return
            if not self._by_itself:
                log.warning("the automatic takeover ends: an operator has asked for a mode")
                return
            plant = await self._look_plant()
            if plant is not None and plant.mode != PlcMode.LOCAL:
                log.warning("the automatic takeover ends: somebody else holds the plant")
                return
            wanted = Mode.CLOSED_LOOP if runtime.mode is Mode.ADVISORY else Mode.ADVISORY
            if self.silent:
                self._promote(f"{self._config.signed_by}: {why}")
            _, text = await runtime.ask(
                ModeRequest(
                    mode=wanted,
                    user=self._config.signed_by,
                    role=self._config.signed_role,
                    reason=why,
                )
            )
            await _pause(stop, self._config.look_s)
        log.error("the automatic takeover did not close the loop: %s", text)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return


def _plant_view(values: Mapping[str, Value]) -> PlantView | None:
    """What the plant shows, or None if it cannot be read."""
    numbers: dict[str, int] = {}
    for tag in (PLC.HB, APC.HB, APC.EPOCH):
        held = values[tag]
        if not is_good(held.status) or not isinstance(held.value, int):
            return None
        numbers[tag] = held.value
    texts = [values[t] for t in (APC.STATE, PLC.MODE_ACT, PLC.LINE_STATE)]
    if not all(is_good(v.status) and isinstance(v.value, str) for v in texts):
        return None
    state, mode, line = (str(v.value) for v in texts)
    return PlantView(
        second=numbers[PLC.HB],
        beat=numbers[APC.HB],
        state=state,
        mode=mode,
        epoch=numbers[APC.EPOCH],
        line=line,
    )
