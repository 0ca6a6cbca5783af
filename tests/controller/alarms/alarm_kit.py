"""A few alarms and a desk to drive them from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.alarms.definitions import Definition, Priority, alarm_list
from controller.alarms.engine import AlarmEvent, AlarmState, Condition, State, update
from controller.alarms.handling import handle_alarm_requests
from controller.alarms.requests import AlarmRequest
from controller.config import SupervisionConfig
from controller.supervision.requests import Answered

PERIOD = 5.0


def definition(name: str, priority: Priority = Priority.LOW, **more: Any) -> Definition:
    """An entry of a list."""
    return Definition(
        id=name,
        text=f"text of {name}",
        priority=priority,
        cause="a cause",
        consequence="a consequence",
        action="an action",
        respond_within_s=60.0,
        **more,
    )


@dataclass
class Desk:
    """Alarms of some definitions, driven cycle by cycle; conditions by name: active or not."""

    definitions: Mapping[str, Definition]
    config: SupervisionConfig = field(default_factory=SupervisionConfig)
    state: AlarmState = field(default_factory=AlarmState)
    time: float = 1000.0
    journal: list[AlarmEvent] = field(default_factory=list)

    def cycle(
        self, *active: str, suppressed: tuple[str, ...] = (), **conditions: Condition | None
    ) -> tuple[AlarmEvent, ...]:
        """One cycle: conditions that are named are active, the others are not."""
        found = {name: Condition(name in active) for name in self.definitions}
        for name, condition in conditions.items():
            if condition is None:
                del found[name]
            else:
                found[name] = condition
        self.time += PERIOD
        self.state, events = update(
            self.state,
            found,
            self.definitions,
            time=self.time,
            suppressed=frozenset(suppressed),
        )
        self.journal += events
        return events

    def ask(
        self,
        alarm: str,
        action: str,
        *,
        minutes: float = 0.0,
        role: str = "supervisor",
        reason: str = "because",
    ) -> Answered:
        """A request of somebody."""
        request = AlarmRequest(
            alarm=alarm, action=action, user="sue", role=role, reason=reason, minutes=minutes
        )
        self.state, (answer,), events = handle_alarm_requests(
            self.state, [request], self.definitions, config=self.config, time=self.time
        )
        self.journal += events
        return answer

    def __getitem__(self, name: str) -> State:
        alarm = self.state.alarms.get(name)
        return State.NORMAL if alarm is None else alarm.state


def desk(*definitions: Definition) -> Desk:
    """A desk for these alarms."""
    return Desk(alarm_list(definitions, {}))
