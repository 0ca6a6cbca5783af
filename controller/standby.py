"""A warm standby: estimates and forecasts like the active controller, and writes nothing at all.

It looks at that controller's own server and at the plant. What it concludes is a pure function of
what it saw (`watch`, `verdict`), in plant time. It takes over by its own epoch only, which the
plant grants openly and which revokes the other one for good: an operator asks it for ADVISORY and
thereby promotes it; or, where that is configured and signed for, it does so by itself, once the
other one is silent towards itself and towards the plant and the plant has shed. An operator who
took the other controller out of CLOSED_LOOP, or one that shed by itself, is not overruled.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from controller.data import Mode
from controller.link.active import ActiveView
from controller.standby_config import StandbyConfig
from plant_models.signals import LineState, PlcMode

__all__ = ["PlantView", "Verdict", "WatchState", "verdict", "watch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantView:
    """What the plant shows of whoever controls it.

    ``second`` is its heartbeat [plant s], ``beat`` and ``state`` what a controller last wrote,
    ``epoch`` the lease.
    """

    second: int
    beat: int
    state: str
    mode: str
    epoch: int
    line: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchState:
    """What was seen so far; times are plant seconds.

    ``beat_at`` is when the controller's heartbeat last changed at the plant, ``seen_at`` when the
    active controller last ran a cycle with data of the plant; ``commanding`` is the epoch that
    held the plant until nothing more was heard, 0 if nobody held it or whoever did let go.
    """

    second: int = -1
    beat: int | None = None
    beat_at: int = -1
    cycle: int | None = None
    seen_at: int = -1
    commanding: int = 0

    @property
    def silent_s(self) -> int:
        """Plant seconds since the active controller last showed life to anybody."""
        return self.second - max(self.beat_at, self.seen_at)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether to take over now without being asked, and the sentence that says why or why not."""

    take: bool
    text: str


def watch(state: WatchState, plant: PlantView, active: ActiveView | None) -> WatchState:
    """Remember what one look has shown.

    Parameters
    ----------
    state
        What was seen before.
    plant
        The plant now; while it cannot be seen there is nothing to conclude.
    active
        The active controller, or None if it does not answer.
    """
    if plant.second < state.second:
        state = WatchState()  # the plant was restarted
    now, first = plant.second, state.second < 0
    beating = state.beat is not None and plant.beat != state.beat
    alive = active is not None and active.connected and active.cycle != state.cycle
    commanding = state.commanding
    if plant.mode != PlcMode.LOCAL:
        commanding = plant.epoch
    elif beating and plant.state != Mode.CLOSED_LOOP:
        commanding = 0
    return replace(
        state,
        second=now,
        beat=plant.beat,
        beat_at=now if first or beating else state.beat_at,
        cycle=state.cycle if active is None else active.cycle,
        seen_at=now if first or alive else state.seen_at,
        commanding=commanding,
    )


def verdict(state: WatchState, plant: PlantView, config: StandbyConfig) -> Verdict:
    """Whether a standby that may promote itself does so now."""
    if plant.mode != PlcMode.LOCAL:
        return Verdict(False, f"the plant is in {plant.mode}, lease {plant.epoch}")
    if not state.commanding:
        return Verdict(False, "nobody held the plant when the active controller was last heard")
    if state.silent_s < config.silent_s:
        return Verdict(
            False,
            f"the active controller is silent for {state.silent_s} s of {config.silent_s:g} s",
        )
    if plant.line != LineState.RUNNING:
        return Verdict(False, f"the line is {plant.line}")
    text = f"the active controller is silent for {state.silent_s} s and the plant has shed"
    if config.promotion != "automatic":
        return Verdict(False, f"{text}: an operator may ask this controller for ADVISORY")
    return Verdict(True, text)
