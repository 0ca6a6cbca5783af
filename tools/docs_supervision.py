"""``docs/supervision.md``: how the controller is supervised, as tables taken from the code.

Whatever the page says of modes, permissives, roles, instruments, defects and alarms is read from
the tables that decide; only the sentences between them are written here. Numbers are defaults.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from controller.alarms.definitions import Definition
from controller.alarms.entries import ENTRIES
from controller.config import SupervisionConfig
from controller.measurement.ne107 import DEFECTS
from controller.supervision.loss_table import LOSS_LADDER, LossRow
from controller.supervision.mode_table import ASKS, TABLE, Event, State
from controller.supervision.permissives import TABLE as PERMISSIVES
from controller.supervision.permissives import Loss, Row
from controller.supervision.roles import PERMISSIONS, Role
from controller.supervision.service_data import CvService, MvService
from tools.docs_faults import FAULTS, PLAYED
from tools.docs_slow import slow_drift

__all__ = ["page"]

_CONFIG = SupervisionConfig()

_HEAD = """\
# Supervision

This page is made from the tables that decide (`twinline docs supervision`); a test compares it
with them. Times and counts are the defaults of `supervision` in a controller's configuration; a
cycle is 5 s unless a controller says otherwise.
"""

_MODES = """\
## Modes

The controller is in one of five modes. OFF does nothing, MONITORING estimates and forecasts,
ADVISORY plans and publishes advice, CLOSED_LOOP writes, SHED has stopped writing because
something was lost; from there the only way leads through ADVISORY. While the line does not run,
CLOSED_LOOP is *suspended*: the PLC's sequence owns all set points, nothing is written, and
control resumes by itself, without a bump and under the same signature, if the line is back within
{resume:.0f} min.
"""

_TABLES = """\
Every state with everything that leads on; `controller/supervision/mode_table.py` is the whole of
it, with what is refused and why. Of the happenings of a cycle the first that holds is taken.
"""

_PERMISSIVES = """\
## Permissives

What must hold for CLOSED_LOOP. Each has a state, a value, a text and a since-when that the
operator sees. One that is not built or not configured is absent, not green.
"""

_SHEDS = """\
## What sheds

Control is given up in the same cycle, or after the debounce:
"""

_SERVICES = """\
## Service of single variables

An operator may take a variable or a unit out of service. A lost MV that is not critical becomes a
measured disturbance and the plan goes on with the rest; the loss of a critical one, or of more
than the minimum leaves, sheds.
"""

_LADDER = """\
## Loss ladder

How long the line goes on without an instrument, with the twin in its place, what it gives up when
that time is over, and what the instrument must show to be believed again. A good status alone
never restores one. Times count while the line runs.
"""

_DEFECTS = """\
## Defects of measurements

What is found wrong with a measurement, its NAMUR NE 107 category, and what is done with it.
"""

_ROLES = """\
## Roles

User and role come from the authenticated session; everything that changes something needs a
reason of at least {reason} characters. Roles that operate are a setting of the site
({operators}).
"""

_ALARMS = """\
## Alarms

After ISA-18.2 (IEC 62682). States: normal, unacknowledged, acknowledged, returned to normal
(unacknowledged), shelved (up to {shelve:.0f} min, with a reason), suppressed by design, out of
service. A consequence is suppressed while its cause is shown, but never an alarm that names a
cause, nor one whose condition was there first; the first alarm of an episode is marked. Alarms
that need a running line are suppressed until it has run for {settle:.0f} s. Alerts inform and
call nobody. `{{item}}` stands for each instrument, manipulated or controlled variable.
"""

_MODES_SHOWN = {
    State.OFF: "OFF",
    State.MONITORING: "MONITORING",
    State.ADVISORY: "ADVISORY",
    State.REQUESTED: "ADVISORY",
    State.CLOSING: "ADVISORY",
    State.CLOSED: "CLOSED_LOOP",
    State.SUSPENDED: "SUSPENDED",
    State.RESUMING: "SUSPENDED",
    State.SHED: "SHED",
}
_SHORT = {
    Event.LOST: "permissive lost",
    Event.ABORTED: "line aborted",
    Event.TOO_LONG: "suspended too long",
    Event.STANDS: "line stands",
    Event.REFUSED: "plant refuses",
    Event.OVERDUE: "no grant",
    Event.GRANTED: "granted",
}
_MV_SERVICE = {
    MvService.ON: "the plan may move it",
    MvService.INIT: "back in closed loop: follows its actual value for some cycles, then ON",
    MvService.TRACK: "the PLC's sequence or loop moves it: its actual value is followed",
    MvService.FFWD: "lost, not critical: a measured disturbance of the plan",
    MvService.OUT: "taken out by an operator, alone or with its unit",
}
_CV_SERVICE = {
    CvService.ON: "measured and controlled",
    CvService.PREDICTED: "not measured: controlled by its prediction, for a number of cycles",
    CvService.OUT: "taken out, or not measured for too long: forecast, not controlled",
}


def page() -> str:
    """The page as Markdown."""
    parts = [
        _HEAD,
        _MODES.format(resume=_CONFIG.resume_within_s / 60.0),
        _diagram(),
        _TABLES,
        _state_table(),
        _PERMISSIVES,
        _permissive_table(),
        _SHEDS,
        _sheds(),
        _SERVICES,
        _table(("MV", "means"), ((f"`{s}`", _MV_SERVICE[s]) for s in MvService)),
        _table(("CV", "means"), ((f"`{s}`", _CV_SERVICE[s]) for s in CvService)),
        _LADDER,
        _ladder_table(),
        _DEFECTS,
        _defect_table(),
        slow_drift(),
        _ROLES.format(
            reason=_CONFIG.reason_min_characters, operators=", ".join(_CONFIG.operator_roles)
        ),
        _role_table(),
        _ALARMS.format(shelve=_CONFIG.alarms.shelve_max_minutes, settle=_CONFIG.alarms.settle_s),
        _alarm_table(),
        _action_table(),
        FAULTS,
        _fault_table(),
    ]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [" | ".join(headings), "|".join("---" for _ in headings)]
    lines += [" | ".join(c.replace("|", "\\|") for c in row) for row in rows]
    return "".join(f"| {line} |\n" if i != 1 else f"|{line}|\n" for i, line in enumerate(lines))


def _diagram() -> str:
    """Modes and what leads from one to another; several reasons share an arrow."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for state, rules in TABLE.items():
        for event, rule in rules.items():
            if rule.to is None:
                continue
            way = _MODES_SHOWN[state], _MODES_SHOWN[rule.to]
            why = "asked" if event in ASKS else _SHORT.get(event, "")
            known = arrows.setdefault(way, [])
            if way[0] != way[1] and why and why not in known:
                known.append(why)
    lines = ["```mermaid", "stateDiagram-v2", "  [*] --> MONITORING"]
    lines += [f"  {a} --> {b}: {', '.join(why)}" for (a, b), why in arrows.items() if why]
    return "\n".join([*lines, "```\n"])


def _state_table() -> str:
    rows = [
        (
            state.value,
            event.value,
            "stays" if rule.to is state else rule.to.value,
            "; ".join(d.value for d in rule.do),
        )
        for state, rules in TABLE.items()
        for event, rule in rules.items()
        if rule.to is not None and not (rule.to is state and not rule.do)
    ]
    return _table(("state", "when", "goes to", "and"), rows)


def _permissive_table() -> str:
    rows = (
        (
            row.name.value,
            row.means,
            _loss(row.writing, row),
            _loss(row.suspended, row),
            row.remedy,
        )
        for row in PERMISSIVES
    )
    return _table(("permissive", "means", "lost while writing", "while suspended", "remedy"), rows)


def _loss(loss: Loss, row: Row) -> str:
    if loss is Loss.DEBOUNCED:
        return f"sheds after {getattr(_CONFIG.debounce, row.debounce)} cycles"
    return loss.value


def _sheds() -> str:
    """Everything that leads to SHED but a request."""
    at_once = [r.name.value for r in PERMISSIVES if r.writing is Loss.AT_ONCE]
    later = [
        f"{r.name.value} ({getattr(_CONFIG.debounce, r.debounce)} cycles)"
        for r in PERMISSIVES
        if r.writing is Loss.DEBOUNCED
    ]
    others = {
        event.value: [s.value for s, rules in TABLE.items() if _to_shed(s, event)]
        for event in Event
        if event not in ASKS and event is not Event.LOST
    }
    instruments = [r.instrument for r in LOSS_LADDER if r.sheds]
    lines = [
        f"- a permissive lost in one cycle: {', '.join(at_once)};",
        f"- a permissive lost for its debounce: {', '.join(later)};",
        f"- an instrument lost for longer than allowed: {', '.join(instruments)};",
        *(f"- {event}, in {' or '.join(states)};" for event, states in others.items() if states),
        "- and the PLC by itself, whatever the controller does: without an accepted command for "
        "its watchdog time.\n",
    ]
    return "\n".join(lines)


def _to_shed(state: State, event: Event) -> bool:
    rule = TABLE[state].get(event)
    return rule is not None and rule.to is State.SHED and state is not State.SHED


def _ladder_table() -> str:
    headings = (
        "instrument",
        "lost after",
        "twin stands in",
        "then: CVs dropped",
        "MVs frozen",
        "diverts",
        "sheds",
        "comes back when",
    )
    return _table(headings, (_ladder_row(row) for row in LOSS_LADDER))


def _ladder_row(row: LossRow) -> tuple[str, ...]:
    ladder = _CONFIG.ladder
    return (
        row.instrument,
        _time(row.lost_after_s(ladder)),
        _time(row.allowed_s(ladder)),
        ", ".join(row.cvs_dropped) or "none",
        ", ".join(_last(tag) for tag in row.mvs_frozen) or "none",
        row.divert.value,
        "yes" if row.sheds else "no",
        row.come_back,
    )


def _defect_table() -> str:
    rows = (
        (
            defect.value,
            row.category.value,
            row.action.value,
            "at once" if row.certain else "",
        )
        for defect, row in DEFECTS.items()
    )
    return _table(("defect", "NE 107", "action", "counts as lost"), rows)


def _role_table() -> str:
    rows = (
        (action.value, *("yes" if role in roles else "" for role in Role))
        for action, roles in PERMISSIONS.items()
    )
    return _table(("action", *(role.value for role in Role)), rows)


def _alarm_table() -> str:
    headings = ("alarm", "priority", "text", "cause", "delay on / off", "behaviour")
    return _table(headings, (_alarm_row(d) for d in ENTRIES))


def _alarm_row(d: Definition) -> tuple[str, ...]:
    behaviour = [
        "for each " + d.each.value if d.each is not None else "",
        "latched" if d.latching else "",
        "names a cause: never suppressed" if d.names_cause else "",
        "needs a running line" if d.needs_running else "",
        f"hidden behind {', '.join(f'`{s}`' for s in d.suppressed_by)}" if d.suppressed_by else "",
        f"deadband {d.deadband:g} {d.unit}".rstrip() if d.deadband else "",
    ]
    return (
        f"`{d.id}`",
        "alert" if d.alert else d.priority.value,
        d.text,
        d.cause,
        f"{_time(d.on_delay_s)} / {_time(d.off_delay_s)}",
        "; ".join(filter(None, behaviour)),
    )


def _action_table() -> str:
    rows = ((f"`{d.id}`", d.consequence, d.action, _time(d.respond_within_s)) for d in ENTRIES)
    return _table(("alarm", "consequence", "what to do", "within"), rows)


def _fault_table() -> str:
    rows = ((what, does, ", ".join(f"`{a}`" for a in alarms)) for what, does, alarms in PLAYED)
    return _table(("fault", "what happens", "alarms"), rows)


def _time(seconds: float) -> str:
    if seconds < 60.0:
        return f"{seconds:g} s"
    if seconds < 7200.0:
        return f"{seconds / 60.0:g} min"
    return f"{seconds / 3600.0:g} h"


def _last(tag: str) -> str:
    return tag.rpartition("/")[2]
