"""What people do at the plant in a shift beside the orders: hold the line, keep a set point.

Times are plant seconds on the grid of control cycles; the plant is held there while they act.
"""

from __future__ import annotations

from dataclasses import dataclass

from hil.config import InstrumentFails, LineStop, LocalTakeover, ScenarioConfig, Scheduled
from plant_models.signals import MvSpec, SignalTable
from tools.demo.operator import Operator

__all__ = ["Deed", "Give", "Hold", "Restart", "Take", "Watch", "carry_out", "deeds_of"]

_LEAST_HOLD_S = 20  # the sequence needs 10 s to be held


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Hold the line at plant second ``second``."""

    second: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """Let it run again."""

    second: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """Keep a set point from the controller, and change it by a percentage."""

    second: int
    mv: MvSpec
    change_percent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Give:
    """Give a set point back."""

    second: int
    mv: MvSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """An instrument fails or comes back by itself: somebody notes it."""

    second: int
    text: str


Deed = Hold | Restart | Take | Give | Watch


def deeds_of(
    scenario: ScenarioConfig, table: SignalTable, minutes: float, period: int
) -> tuple[Deed, ...]:
    """What is to be done in a shift of ``minutes``, in order of time."""
    found: list[Deed] = []
    for item in scenario.schedule(minutes):
        found += _deeds(item, table, period)
    return tuple(sorted(found, key=lambda d: d.second))


def _deeds(item: Scheduled, table: SignalTable, period: int) -> list[Deed]:
    begin, end = (-int(-s // period) * period for s in (item.second, item.second + item.duration))
    event = item.event
    if isinstance(event, LineStop):
        return [Hold(second=begin), Restart(second=max(end, begin + _LEAST_HOLD_S))]
    if isinstance(event, LocalTakeover):
        spec = table.mv(event.mv)
        return [
            Take(second=begin, mv=spec, change_percent=event.change_percent),
            Give(second=end, mv=spec),
        ]
    if isinstance(event, InstrumentFails):
        name = event.instrument.replace("_", " ")
        found: list[Deed] = [Watch(second=begin, text=f"{name}: {event.fault}")]
        if end > begin:
            found.append(Watch(second=end, text=f"{name}: sound again"))
        return found
    return []


async def carry_out(deed: Deed, operator: Operator, period: int) -> None:
    """Wait for the time of a deed and do it; set points are taken while the line runs only.

    Raises ``RuntimeError`` if the plant refuses.
    """
    await operator.wait_until(deed.second)
    match deed:
        case Hold():
            await operator.command_line("hold", "press needs a look")
        case Restart():
            await operator.command_line("restart", "looked at")
        case Take():
            await operator.wait_until_running(period)
            await operator.take(deed.mv, deed.change_percent, "trying it by hand")
        case Give():
            await operator.give(deed.mv, "back to control")
        case Watch():
            operator.note(deed.text)
