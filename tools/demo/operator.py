"""The scripted operator of one run: sits at the plant and at the controller, secured like anybody.

In lock-step the plant waits where the operator is to act (`hil.hold`), so that everything happens
at the same plant second in every run, however fast the computers are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

from controller.baselines.internal_model import OperatingRecord
from controller.baselines.operator_plc import operator_settings
from controller.data import CV, CycleRecord, LabSample, Mode
from controller.targets import product_targets
from hil.hold import HOLDING_AT
from plant_models.line import ResolvedLine, nominal_extent
from plant_models.quality import tensile_strength_from_breaking_force
from plant_models.signals import APC, LAB, MV, PLC, LineState, MvSpec
from plant_models.units import from_si, to_si
from tools.demo.status import Status
from tools.people import ControllerDesk, PlantDesk

__all__ = ["SHOWN", "Operator", "Stalled", "press_settings"]

SHOWN: dict[str, str] = {
    "potency": "% of label",
    "tablet_weight": "mg",
    "tensile_strength": "MPa",
    "throughput": "kg/h",
    "main_force": "kN",
    "level": "%",
}

_POLL_S = 0.03
_STALLED_S = 60.0
_HEARD_S = 0.03
_SAMPLES = 2
_SAMPLE_WINDOW_S = 15.0
_SEEN = (
    PLC.HB,
    HOLDING_AT,
    APC.STATE,
    PLC.LINE_STATE,
    "Line/FeedFrame/Potency/PV",
    "Line/Press/MainForce/PV",
    "Line/Chute/Level/PV",
    f"{MV.TURRET_SPEED}/FBK",
    LAB.WEIGHT,
    LAB.THICKNESS,
    LAB.FORCE,
)


class Stalled(RuntimeError):
    """Plant time does not pass any more."""


class Operator:
    """One person at two desks.

    Parameters
    ----------
    line
        The line, for units and ranges.
    plant
        Desk at the plant.
    status
        Kept up to date with what the screens show.
    """

    def __init__(self, line: ResolvedLine, plant: PlantDesk, status: Status) -> None:
        self._line, self._plant, self._status = line, plant, status
        self.second = 0

    # Time

    async def wait_until(self, second: int) -> None:
        """Let the plant go on until it waits at plant second ``second``, or is beyond it."""
        await self._plant.hold_at(second)
        loop = asyncio.get_running_loop()
        moved, seen = loop.time(), -1
        while True:
            held = await self._look()
            if held >= second or self.second > second:
                return
            if self.second != seen:
                moved, seen = loop.time(), self.second
            elif loop.time() - moved > _STALLED_S:
                raise Stalled(f"plant time has stood still at {self.second} s for {_STALLED_S:g} s")
            await asyncio.sleep(_POLL_S)

    async def _look(self) -> int:
        """Read the screens; plant second that the plant is held at, or -1."""
        read = await self._plant.read(_SEEN)
        beat, held, mode, line, potency, force, level, speed, weight, thick, breaking = read
        self.second = int(beat)
        s, product = self._status, self._line.product
        s.second, s.mode, s.line_state = self.second, str(mode or ""), str(line or "")
        mean = _mean(weight)
        s.values = {
            "potency": potency,
            "tablet_weight": mean,
            "tensile_strength": _strength(_mean(thick), _mean(breaking), product.diameter_mm),
            "throughput": _throughput(mean, speed, product.stations),
            "main_force": force,
            "level": level,
        }
        return int(held)

    # At the controller

    async def ask(
        self, request: Callable[[], Awaitable[tuple[bool, str]]], go_on_at: int
    ) -> tuple[bool, str]:
        """Make a request at the controller, then let the plant go on, so that a cycle hears it."""
        asked = asyncio.ensure_future(request())
        await asyncio.sleep(_HEARD_S)
        await self.wait_until(go_on_at)
        return await asked

    async def ask_mode(
        self, desk: ControllerDesk, mode: Mode, reason: str, go_on_at: int
    ) -> tuple[bool, str]:
        """Ask for a mode."""
        asked_at = self.second
        answer = await self.ask(lambda: desk.request_mode(mode.value, reason), go_on_at)
        self._status.note(f"{mode.value} asked for: {answer[1]}", asked_at)
        return answer

    async def order_throughput(
        self, desk: ControllerDesk, kg_h: float, reason: str, go_on_at: int
    ) -> None:
        """Give the controller another throughput."""
        asked_at = self.second
        accepted, text = await self.ask(
            lambda: desk.request_target(CV.THROUGHPUT.value, kg_h, reason), go_on_at
        )
        self._status.note(f"throughput {kg_h:g} kg/h ordered: {text}", asked_at)
        if not accepted:
            raise RuntimeError(f"the controller refused a throughput of {kg_h:g} kg/h: {text}")

    # At the plant

    async def set_at_plant(self, spec: MvSpec, value: float, reason: str) -> None:
        """Change a set point of the PLC (SI), within its range."""
        wanted = from_si(
            min(max(value, to_si(spec.lo, spec.unit)), to_si(spec.hi, spec.unit)), spec.unit
        )
        answer = await self._plant.operator_set(spec.tag, wanted, reason)
        self._status.note(f"{spec.tag} set to {wanted:.4g} {spec.unit}: {answer}")
        if answer != "done":
            raise RuntimeError(f"the plant refused to set {spec.tag}: {answer}")

    async def command_line(self, command: str, reason: str) -> None:
        """Hold the line, restart it, and so on."""
        self._done(f"line: {command}", await self._plant.line_command(command, reason))

    async def wait_until_running(self, period: int) -> None:
        """Let the plant go on, period by period, until the line runs."""
        while self._status.line_state != LineState.RUNNING:
            await self.wait_until(self.second + period)

    async def take(self, spec: MvSpec, change_percent: float, reason: str) -> None:
        """Keep a set point at the plant, changed by a percentage of what it is."""
        self._done(f"{spec.tag} in local", await self._plant.set_local(spec.tag, True, reason))
        if change_percent:
            (now,) = await self._plant.read([f"{spec.tag}/ACT"])
            wanted = float(now) * (1.0 + change_percent / 100.0)
            await self.set_at_plant(spec, to_si(wanted, spec.unit), reason)

    async def give(self, spec: MvSpec, reason: str) -> None:
        """Give a set point back to the controller."""
        answer = await self._plant.set_local(spec.tag, False, reason)
        self._done(f"{spec.tag} given back", answer)

    def note(self, text: str) -> None:
        """Something that can be seen at the plant."""
        self._status.note(text)

    def _done(self, what: str, answer: str) -> None:
        self._status.note(f"{what}: {answer}")
        if answer != "done":
            raise RuntimeError(f"the plant refused {what}: {answer}")


def _mean(values: list[float] | None) -> float | None:
    return sum(values) / len(values) if values else None


def _strength(thickness: float | None, force: float | None, diameter_mm: float) -> float | None:
    if thickness is None or force is None:
        return None
    pascal = tensile_strength_from_breaking_force(
        force, to_si(diameter_mm, "mm"), to_si(thickness, "mm")
    )
    return from_si(float(pascal), "MPa")


def _throughput(weight_mg: float | None, speed_rpm: float | None, stations: int) -> float | None:
    """Tablets of the last sample's weight at the press's speed [kg/h]."""
    if weight_mg is None or speed_rpm is None:
        return None
    return weight_mg * 1e-6 * speed_rpm * 60.0 * stations


def press_settings(line: ResolvedLine, records: Iterable[CycleRecord]) -> dict[str, float]:
    """Main force [N] and thickness [m] from the last two samples, by MV tag.

    ``records`` are the cycles so far, as the operator reads them off the trend display: force and
    thickness around the time at which each sample was taken. Raises ``RuntimeError`` with less than
    two samples.
    """
    points: list[OperatingRecord] = []
    samples: list[LabSample] = []
    for v in (r.validated for r in records):
        if v is None:
            continue
        force = v.measurements["Line/Press/MainForce/PV"]
        if force.weight > 0.0:
            points.append(
                OperatingRecord(
                    time=v.time,
                    force=force.value,
                    thickness=v.actual[MV.THICKNESS],
                    extent=nominal_extent(line),
                )
            )
        samples += v.samples
    known: list[tuple[LabSample, OperatingRecord]] = []
    for sample in samples:
        near = [p for p in points if abs(p.time - sample.taken) <= _SAMPLE_WINDOW_S]
        if near:
            mean = sum(p.force for p in near) / len(near)
            known.append((sample, replace(near[0], force=mean)))
    if len(known) < _SAMPLES:
        raise RuntimeError(f"the operator needs {_SAMPLES} samples, there are {len(known)}")
    targets = product_targets(line).set_points
    return operator_settings(
        line, known[-_SAMPLES:], targets[CV.TABLET_WEIGHT], targets[CV.TENSILE_STRENGTH]
    )
