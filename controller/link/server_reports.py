"""What the controller's OPC UA server shows of supervision's reports, by path below ``Controller``.

Pure functions. Every report may be missing: what is not built is not shown.
"""

from __future__ import annotations

from controller.alarms.engine import Alarm, AlarmState, State
from controller.cycle_data import CycleOutput
from controller.link.server_products import product_values
from controller.link.server_values import (
    VARIABLE_UNITS,
    Quantity,
    Values,
    moment,
    quantity,
    short_name,
    slug,
)
from controller.measurement.health import HealthReport
from controller.supervision.advice_data import Advice, AdviceState
from controller.supervision.diversion import Diversion
from controller.supervision.ladder import LadderReport
from controller.supervision.readiness_data import ReadinessReport
from controller.supervision.service_data import ServiceReport
from plant_models.signals import SignalTable
from plant_models.units import UNITS

__all__ = ["report_values"]

_ANSWER = 200  # characters of a list entry


def report_values(output: CycleOutput, table: SignalTable) -> Values:
    """Advice, readiness, services, health, lost instruments, diversion, product and alarms."""
    o = output.oversight
    if o is None:
        return {}
    return (
        _advice(o.advice)
        | _readiness(o.readiness)
        | _services(o.services)
        | _limits(output, table)
        | _health(o.health)
        | _ladder(o.ladder)
        | _diversion(o.diversion)
        | product_values(o.product, output.record.extra)
        | _alarms(o.alarms)
    )


def _advice(current: tuple[Advice, ...]) -> Values:
    values: Values = {
        "Advice/Count": len(current),
        "Advice/List": AdviceState(current=tuple(current)).as_json(),
    }
    for a in current:
        path = f"Advice/{short_name(a.mv)}"
        values |= {
            f"{path}/Id": a.id,
            f"{path}/MV": a.mv,
            f"{path}/Value": Quantity(float(a.value), a.unit),
            f"{path}/Now": Quantity(float(a.now), a.unit),
            f"{path}/LeadsTo": Quantity(float(a.leads_to), a.unit),
            f"{path}/Reason": a.reason,
            f"{path}/Effect": a.effect,
            f"{path}/Limits": a.limits,
            f"{path}/Made": moment(a.made),
            f"{path}/Expires": moment(a.expires),
            f"{path}/HeldBy": a.held_by,
            f"{path}/Note": a.overtaken or a.note,
        }
        for variable, wanted in a.computed_from.items():
            unit = VARIABLE_UNITS.get(variable, "")
            values[f"{path}/ComputedFrom/{variable}"] = quantity(wanted, unit)
    return values


def _readiness(report: ReadinessReport | None) -> Values:
    if report is None:
        return {}
    values: Values = {"Readiness/Ready": report.ready, "Readiness/Report": report.as_json()}
    for line in report.lines:
        path = f"Readiness/{slug(line.name)}"
        values[f"{path}/Good"] = line.good
        values[f"{path}/Goal"] = line.goal
        values[f"{path}/Text"] = line.text
        if line.value is not None:
            unit = line.unit if line.unit in UNITS else ""
            values[f"{path}/Value"] = Quantity(float(line.value), unit)
    return values


def _services(report: ServiceReport | None) -> Values:
    if report is None:
        return {}
    values: Values = {"Services/Lost": report.lost}
    for tag, service in report.mvs.items():
        values[f"MVs/{short_name(tag)}/Service"] = str(service)
        values[f"MVs/{short_name(tag)}/ServiceText"] = report.texts.get(tag, "")
        values[f"MVs/{short_name(tag)}/Limited"] = str(report.limited.get(tag, ""))
    for name, kept in report.cvs.items():
        values[f"CVs/{name}/Service"] = str(kept)
        values[f"CVs/{name}/ServiceText"] = report.texts.get(name, "")
    return values


def _limits(output: CycleOutput, table: SignalTable) -> Values:
    """Operators' limits of MVs, plant units."""
    limits = output.state.targets.limits
    units = {m.tag: m.unit for m in table.manipulated}
    values: Values = {}
    for tag, (lo, hi) in limits.items():
        unit = units.get(tag, "")
        values[f"MVs/{short_name(tag)}/LowLimit"] = Quantity(lo / UNITS[unit].factor, unit)
        values[f"MVs/{short_name(tag)}/HighLimit"] = Quantity(hi / UNITS[unit].factor, unit)
    return values


def _health(report: HealthReport | None) -> Values:
    if report is None:
        return {}
    values: Values = {}
    for tag, s in report.signals.items():
        path = f"Health/{tag.removeprefix('Line/').removesuffix('/PV')}"
        values[f"{path}/Category"] = str(s.category)
        values[f"{path}/Defect"] = str(s.defect)
        values[f"{path}/Action"] = str(s.action)
        values[f"{path}/Since"] = moment(s.since)
        values[f"{path}/Text"] = s.text
    return values


def _ladder(report: LadderReport | None) -> Values:
    if report is None:
        return {}
    values: Values = {
        "LostInstruments/Divert": report.divert,
        "LostInstruments/Shed": report.shed,
        "LostInstruments/CvsDropped": tuple(sorted(report.cvs_dropped)),
        "LostInstruments/MvsFrozen": tuple(sorted(report.mvs_frozen)),
        "LostInstruments/List": tuple(f"{x.instrument}: {x.text}"[:_ANSWER] for x in report.lost),
    }
    for x in report.lost:
        path = f"LostInstruments/{slug(x.instrument)}"
        values[f"{path}/Since"] = moment(x.since)
        values[f"{path}/Allowed"] = Quantity(float(x.allowed_s), "s")
        values[f"{path}/Expired"] = x.expired
        values[f"{path}/Text"] = x.text
    return values


def _diversion(asked: Diversion | None) -> Values:
    if asked is None:
        return {}
    return {"Diversion/Divert": asked.divert, "Diversion/Reasons": asked.reasons}


def _alarms(state: AlarmState | None) -> Values:
    if state is None:
        return {}
    shown = state.in_alarm()
    hidden = (State.SHELVED, State.SUPPRESSED, State.OUT_OF_SERVICE)
    values: Values = {
        "Alarms/InAlarm": len(shown),
        "Alarms/Unacknowledged": sum(a.unacknowledged for a in shown),
        "Alarms/Hidden": sum(a.state in hidden for a in state.alarms.values()),
        "Alarms/List": tuple(f"{a.id}: {a.state}; {a.text}"[:_ANSWER] for a in shown),
    }
    for alarm in state.alarms.values():
        values |= _alarm(alarm)
    return values


def _alarm(a: Alarm) -> Values:
    path = f"Alarms/{a.id}"
    values: Values = {
        f"{path}/State": str(a.state),
        f"{path}/Active": a.active,
        f"{path}/Acknowledged": not a.unacknowledged,
        f"{path}/Text": a.text,
        f"{path}/Count": a.count,
        f"{path}/HiddenBy": a.by,
    }
    if a.since > 0.0:
        values[f"{path}/Since"] = moment(a.since)
    if a.shelved_until is not None:
        values[f"{path}/ShelvedUntil"] = moment(a.shelved_until)
    return values
