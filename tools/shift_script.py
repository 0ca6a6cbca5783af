"""What happens when in the scripted shift, on the grid of control cycles.

A request that is made while the plant is held at a plant second is heard by the cycle one period
later. The order of events is the same for every controller.
"""

from __future__ import annotations

from dataclasses import dataclass

from hil.config import KillPlant, ScenarioConfig, ThroughputChange
from tools.shift_score import closing_second

__all__ = ["Script", "shift_script"]

_NOTICE_S = 15
_COME_BACK_S = 60
_ASK_AGAIN_S = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """Plant seconds at which people act; ``None`` where the scenario has no such event.

    ``closed`` is the first cycle in closed loop, ``throughput_percent`` the change ordered at
    ``throughput``. After the kill at ``kill`` the operator asks for ADVISORY after ``notice_s``
    and for CLOSED_LOOP from ``come_back_s`` on, every ``ask_again_s`` until it is granted.
    """

    period: int
    running: int
    closed: int
    throughput: int | None
    throughput_percent: float
    kill: int | None
    end: int
    notice_s: int
    come_back_s: int
    ask_again_s: int = _ASK_AGAIN_S


def shift_script(scenario: ScenarioConfig, minutes: float, period: int) -> Script:
    """Times of a shift of ``minutes`` after start-up, for a control period [s]."""

    def grid(second: float) -> int:
        return -int(-second // period) * period

    events = scenario.schedule(minutes)
    orders = [s for s in events if isinstance(s.event, ThroughputChange)]
    kills = [s.second for s in events if isinstance(s.event, KillPlant)]
    order = orders[0] if orders else None
    change = order.event if order is not None else None
    kill = grid(kills[0]) if kills else None
    end = scenario.total_seconds(minutes) // period * period
    left = grid((end - kill) / 3.0) if kill is not None else 0
    return Script(
        period=period,
        running=grid(60.0 * scenario.start_up_minutes),
        closed=closing_second(scenario, minutes, period),
        throughput=grid(order.second) if order is not None else None,
        throughput_percent=(change.change_percent if isinstance(change, ThroughputChange) else 0.0),
        kill=kill,
        end=end,
        notice_s=min(_NOTICE_S, left),
        come_back_s=min(_COME_BACK_S, left),
    )
