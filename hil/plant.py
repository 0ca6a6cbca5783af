"""The plant: truth, instruments and PLC composed. The only thing a server or a harness sees.

Order of one plant second: the PLC reads what the instruments showed at its beginning, sets its
drives, the truth goes on for one second, the instruments measure, the gate takes out single
tablets. Frames and operators' calls act on the PLC's state between scans.

With a run directory the whole state is saved atomically every control period; `Plant.resume` goes
on from there, in LOCAL.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Self

from hil.cleaning import CLEANING, Left
from hil.config import ScenarioConfig
from hil.faults import Faults
from hil.instruments import Instruments
from hil.noise import Noise
from hil.outlet import Outlet
from hil.plant_file import STATE_FILE, read_plant, write_plant
from hil.plc.handshake import (
    Refusal,
    apply_frame,
    received_frame,
    refuse,
    release_session,
    request_control,
)
from hil.plc.modes import controlled, operator_set, restarted, set_local
from hil.plc.parameters import plc_parameters
from hil.plc.rejection import judge_tablets
from hil.plc.scan import scan
from hil.plc.sequence import line_command
from hil.plc.state import from_document, initial_state, to_document
from hil.process_image import Counters, blank_readings, process_image
from hil.readings import Readings
from hil.received import Event, received_command
from hil.recipes import Loading, Recipe, loading
from hil.registers import (
    BAD_NODE_ID_UNKNOWN,
    BAD_NOT_WRITABLE,
    BAD_TYPE_MISMATCH,
    BAD_USER_ACCESS_DENIED,
    fits,
)
from hil.saved_readings import readings_document, readings_from_document
from hil.tally import ReceivedCommand, Tally
from hil.truth import Truth
from plant_models.line import ResolvedLine
from plant_models.signal_list import signal_table
from plant_models.signals import APC, Payload, SignalTable, Value
from plant_models.units import from_si

__all__ = [
    "BAD_NODE_ID_UNKNOWN",
    "BAD_NOT_WRITABLE",
    "BAD_TYPE_MISMATCH",
    "BAD_USER_ACCESS_DENIED",
    "STATE_FILE",
    "Event",
    "Plant",
]

_FRAME = frozenset({APC.SEQ_HEAD, APC.SEQ_TAIL, APC.ECHO, APC.EPOCH, APC.DIVERT_REQ})
_REMEMBERED_SCANS = 60


class Plant:
    """A feeder-blender-press line with its PLC.

    Parameters
    ----------
    resolved
        The line as configured.
    scenario
        The scripted run: truth and events. The line starts by itself at plant second 0.
    seed
        Draws the truth's mismatch (if drawn) and all noise.
    start_time
        UTC [s] of plant second 0.
    run_dir
        Where state and tally are saved; ``None`` saves nothing.
    minutes
        Replaces the scenario's length of the shift.
    recipe_id
        What RECIPE_ID shows: that of the product set loaded; by default the product's.
    recipes
        What the PLC can load later by command.

    Attributes
    ----------
    table : SignalTable
    tally : Tally
    truth : Truth
    outlet : Outlet
    faults : Faults
    events : list of Event
    speed : float
        What ``PLC/SPEED`` shows; whoever drives the clock sets it. 0 is lock-step.
    """

    def __init__(
        self,
        resolved: ResolvedLine,
        scenario: ScenarioConfig,
        *,
        seed: int,
        start_time: float,
        run_dir: Path | None = None,
        minutes: float | None = None,
        recipe_id: str | None = None,
        recipes: Iterable[Recipe] = (),
    ) -> None:
        self._parametrise(Recipe(recipe_id=recipe_id or resolved.product.recipe_id, line=resolved))
        self._recipes = {recipe.recipe_id: recipe for recipe in recipes}
        self._ordered = ""  # recipe that was loaded by command
        self._events = scenario.schedule(minutes)
        self._truth_config, self._seed, self._start = scenario.truth, seed, start_time
        self._make_truth(resolved)
        self.faults = Faults(Noise(seed), self._events)
        self.outlet = Outlet(self.parameters.config.diverter_travel_s)
        self.state = initial_state(self.parameters)
        self._readings: Readings = blank_readings(len(resolved.line.feeders))
        self._run_dir = run_dir
        if run_dir is not None:
            run_dir.mkdir(parents=True, exist_ok=True)
        self.tally = Tally(run_dir, self.parameters.lubricant)
        self._registers: dict[str, tuple[Payload, float]] = {}
        self._first_session = ""
        self._acts: deque[tuple[int, dict[str, float]]] = deque(maxlen=_REMEMBERED_SCANS)
        self.events: list[Event] = []
        self.speed = 0.0
        self.line_command("sequence", "start", "scripted start of the run")

    def _make_truth(self, line: ResolvedLine) -> None:
        """Powder, machine and instruments for the product of ``line``; the same machine always."""
        made = (line, self._truth_config, self._seed, self._events)
        self.truth, self._instruments = Truth(*made), Instruments(*made)
        self._digest = line.digest()

    # -- time ------------------------------------------------------------------------------------

    @property
    def second(self) -> int:
        """Plant seconds since the run began."""
        return self.state.heartbeat

    @property
    def time(self) -> float:
        """Plant time [s, UTC]."""
        return self._start + self.state.heartbeat

    @property
    def received(self) -> list[ReceivedCommand]:
        """All command frames, accepted or not."""
        return self.tally.commands

    @property
    def readings(self) -> Readings:
        """Newest readings, in SI."""
        return self._readings

    def advance(self, seconds: int) -> None:
        """Let ``seconds`` of plant time pass, one scan each."""
        for _ in range(seconds):
            self._scan()
            due = self.second % self.parameters.config.control_period_s == 0
            if due and self._run_dir is not None:
                self.save()

    def _scan(self) -> None:
        second = self.state.heartbeat
        self.state, drives = scan(self.parameters, self.state, self._readings, self.outlet.feedback)
        self.outlet.drive(self.state.diverter.goal)
        out = self.truth.step(drives, second)
        self._readings = self.faults.readings(self._instruments.measure(out))
        rejection, outside = judge_tablets(
            self.parameters, self.state.rejection, self._readings.tablet_force
        )
        self.state = replace(self.state, rejection=rejection)
        self.tally.add(
            out,
            self.outlet.take(outside),
            self.outlet.collecting,
            self.state.sequence.line,
            self.state.lease.mode,
            self.truth.foreign,
        )
        self._remember()

    def _remember(self) -> None:
        self._acts.append((self.state.heartbeat, self._actual()))

    def _actual(self) -> dict[str, float]:
        """Set points in use, in plant units."""
        limits = self.parameters.limits
        return {t: from_si(mv.act, limits[t].unit) for t, mv in self.state.mvs.items()}

    # -- tags ------------------------------------------------------------------------------------

    def values(self) -> Mapping[str, Value]:
        """Every tag of the table, in its plant unit, with status and source time."""
        t = self.tally
        counts = Counters(
            made=t.made, rejected=t.rejected, diverted=t.diverted, released=t.released
        )
        image = process_image(
            self.table,
            self.parameters,
            self.state,
            self._readings,
            counts,
            self._registers,
            start=self._start,
            speed=self.speed,
        )
        return self.faults.image(image, self.second)

    def write(self, session: str, writes: Mapping[str, Payload]) -> dict[str, int]:
        """One Write call of ``session``: status code per tag.

        Writable only for the session that holds the lease or, while none does, the first
        controller session. A call with any value of a frame is judged as one frame, at once and
        whole; a refused one is still Good on the wire and counted by cause.
        """
        if not self._may_write(session):
            if _FRAME & writes.keys():
                self._record(session, writes, Refusal.SESSION)
            return dict.fromkeys(writes, BAD_USER_ACCESS_DENIED)
        results = {tag: fits(self.table, tag, value) for tag, value in writes.items()}
        taken = {tag: value for tag, value in writes.items() if results[tag] == 0}
        for tag, value in taken.items():
            self._registers[tag] = (value, self.time)
        if any(tag in _FRAME or tag.endswith("/REQ") for tag in writes):
            self._record(session, taken, None)
        return results

    def _may_write(self, session: str) -> bool:
        lease = self.state.lease
        if lease.active and lease.session:
            return session == lease.session
        if not self._first_session:
            self._first_session = session
        return session == self._first_session

    def _record(self, session: str, writes: Mapping[str, Payload], denied: Refusal | None) -> None:
        """Judge a frame, and log it with the set points that it was computed from."""
        frame = received_frame(writes, self.parameters.limits)
        before = self.state
        owned = controlled(self.parameters, before)
        previous = next((a for hb, a in self._acts if hb == frame.echo), None) or self._actual()
        if denied is None:
            self.state, cause = apply_frame(self.parameters, before, frame)
        else:
            self.state, cause = refuse(before, denied), denied
        if cause is None and not before.lease.session:
            self.state = replace(self.state, lease=replace(self.state.lease, session=session))
        self.tally.commands.append(
            received_command(frame, before.lease, cause, self.second, session, owned, previous)
        )

    # -- methods ---------------------------------------------------------------------------------

    def request_control(self, session: str, user: str, mode: str, epoch: int, reason: str) -> str:
        """Ask for the control lease: ``granted``, or why not."""
        self.state, answer = request_control(
            self.parameters,
            self.state,
            session=session,
            user=user,
            mode=mode,
            epoch=epoch,
            reason=reason,
        )
        if self.state.lease.session == session:
            self._first_session = session
        return self._log(user, f"RequestControl {mode} epoch {epoch}", reason, answer)

    def operator_set(self, user: str, mv: str, value: float, reason: str) -> str:
        """Change a set point that the operator owns: ``done``, or why not."""
        self.state, answer = operator_set(self.parameters, self.state, mv, value, reason)
        return self._log(user, f"OperatorSet {mv} {value!r}", reason, answer)

    def set_local(self, user: str, mv: str, local: bool, reason: str) -> str:
        """Keep one set point from the controller, or give it back: ``done``, or why not."""
        self.state, answer = set_local(self.parameters, self.state, mv, local, reason)
        return self._log(user, f"SetLocal {mv} {local}", reason, answer)

    def line_command(self, user: str, command: str, reason: str) -> str:
        """Start, hold, restart, stop, abort, clear: ``done``, or why not."""
        self.state, answer = line_command(self.parameters, self.state, command, reason)
        return self._log(user, f"LineCommand {command}", reason, answer)

    def load_recipe(self, user: str, recipe: str, cleaning: str, reason: str) -> str:
        """Load a recipe after the cleaning that is stated (`hil.recipes`): ``done``, or why not."""
        found = loading(self._recipes, self._recipe, self.state, recipe, cleaning, reason)
        if isinstance(found, Loading):
            self._load(found, CLEANING.get(cleaning))
        answer = "done" if isinstance(found, Loading) else found
        return self._log(user, f"LoadRecipe {recipe} after cleaning {cleaning!r}", reason, answer)

    def _parametrise(self, recipe: Recipe) -> None:
        self._recipe, self._ordered = recipe, recipe.recipe_id
        self.table: SignalTable = signal_table(recipe.line.line)
        self.parameters = plc_parameters(recipe.line, self.table, recipe.recipe_id)

    def _load(self, load: Loading, left: Left | None) -> None:
        self._parametrise(load.recipe)
        self.state = load.state
        if load.product and left is not None:
            before, samples = self.truth.state(), self._instruments
            self._make_truth(load.recipe.line)
            self.truth.inherit(before, blender=left.blender, chute=left.chute, frame=left.frame)
            self._instruments.succeed(samples)
            self._readings = blank_readings(len(load.recipe.line.line.feeders))
            self._acts.clear()
        requests = {f"{tag}/REQ" for tag in self.parameters.limits}
        self._registers = {t: r for t, r in self._registers.items() if t not in requests}
        if self._run_dir is not None:
            self.save()

    def release_session(self, session: str) -> None:
        """The connection of ``session`` is gone: it owns nothing any more."""
        self.state = release_session(self.state, session)
        if self._first_session == session:
            self._first_session = ""

    def _log(self, user: str, what: str, reason: str, answer: str) -> str:
        self.events.append(
            Event(second=self.second, user=user, what=what, reason=reason, answer=answer)
        )
        return answer

    # -- saving ----------------------------------------------------------------------------------

    def save(self) -> None:
        """Write the whole state atomically into the run directory."""
        if self._run_dir is None:
            raise ValueError("a plant without a run directory cannot be saved")
        parts = {
            "seed": self._seed,
            "start_time": self._start,
            "plc": to_document(self.state),
            "truth": self.truth.state(),
            "instruments": self._instruments.state(),
            "outlet": self.outlet.state(),
            "faults": self.faults.state(),
            "readings": readings_document(self._readings),
            "tally": self.tally.state(),
            "registers": {tag: list(item) for tag, item in self._registers.items()},
            "acts": [list(item) for item in self._acts],
        }
        write_plant(self._run_dir, self._digest, self._ordered, parts)

    @classmethod
    def resume(
        cls,
        resolved: ResolvedLine,
        scenario: ScenarioConfig,
        *,
        run_dir: Path,
        minutes: float | None = None,
        recipe_id: str | None = None,
        recipes: Iterable[Recipe] = (),
    ) -> Self:
        """Go on from the state saved in ``run_dir``, in LOCAL, diverting until good again.

        What is raised is that of `hil.plant_file.read_plant`.
        """
        recipes = tuple(recipes)
        found = read_plant(run_dir, resolved, recipes)
        saved = found.parts
        plant = cls(
            found.line,
            scenario,
            seed=saved["seed"],
            start_time=saved["start_time"],
            run_dir=run_dir,
            minutes=minutes,
            recipe_id=recipe_id,
            recipes=recipes,
        )
        plant.events.clear()
        if found.recipe is not None:
            plant._parametrise(found.recipe)
        plant.truth.restore(saved["truth"])
        plant._instruments.restore(saved["instruments"])
        plant.outlet.restore(saved["outlet"])
        plant.faults.restore(saved["faults"])
        plant._readings = readings_from_document(saved["readings"])
        plant.tally.restore(saved["tally"])
        plant._registers = {tag: (value, at) for tag, (value, at) in saved["registers"].items()}
        plant._acts.extend((int(hb), acts) for hb, acts in saved["acts"])
        plant.state = restarted(plant.parameters, from_document(saved["plc"]))
        return plant
