"""What is unsafe, judged from outside: the written rules again, from the plant's logs alone.

The judge imports nothing of the controller. For each cycle it is given what the plant showed, what
operators asked for, what the algorithm planned, and everything that arrived at the plant; it keeps
its own account of the mode that operators and the rules allow, and names every rule that was
broken. Where the rules leave room it follows the controller's own word (``STATE``) downwards only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

APC = "Line/APC/"
PLC = "Line/PLC/"
FRAME = ("SEQ_HEAD", "ECHO", "EPOCH", "DIVERT_REQ", "SEQ_TAIL")
BEAT = {f"{APC}STATE", f"{APC}HB"}
MODES = ("OFF", "MONITORING", "ADVISORY", "CLOSED_LOOP")
RANK = {"SHED": 0, "OFF": 0, "MONITORING": 1, "ADVISORY": 2, "CLOSED_LOOP": 3}
SAFETY = ("heartbeat", "plc_mode", "permit", "agreement")
SLACK = 1e-7


@dataclass(frozen=True, slots=True, kw_only=True)
class Mv:
    """An MV as filed: range and largest move of one period in its plant unit, unit in SI."""

    lo: float
    hi: float
    move: float
    factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The numbers of the rules; cycles and seconds as in the configuration."""

    structure: str
    period_s: float
    mvs: Mapping[str, Mv]
    owned: frozenset[str]
    critical: tuple[str, ...]
    required: tuple[str, ...]
    recipe_id: str
    model_version: str
    roles: Mapping[str, frozenset[str]]
    advice_roles: frozenset[str]
    reason_min_characters: int
    debounce: Mapping[str, int]
    estimator_cycles: int
    solver_cycles: int
    grant_cycles: int
    resume_within_s: float
    heartbeat_age_max_s: float
    plan_age_max_cycles: int
    ramp_cycles: int
    set_point_steps: float


@dataclass(slots=True)
class Streak:
    """Passes in a row, a short failure forgiven, and failures in a row."""

    passes: int = 0
    fails: int = 0

    def count(self, passed: bool, forget_after: int) -> None:
        if passed:
            self.passes, self.fails = self.passes + 1, 0
            return
        self.fails += 1
        if self.fails >= forget_after:
            self.passes = 0


def good(shown: Mapping[str, Any], tag: str) -> Any:
    """Value of a tag if its status is Good, else None."""
    item = shown.get(tag)
    return None if item is None or item.status & 0xC0000000 else item.value


def number(shown: Mapping[str, Any], tag: str) -> float | None:
    item = shown.get(tag)
    if item is None or item.status & 0xC0000000:
        return None
    value = item.value
    if type(value) is float:
        return value if math.isfinite(value) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


@dataclass(slots=True)
class Oracle:
    """The judge of one run; `judge` once per cycle, `restart` when the controller is a new one."""

    rules: Rules
    epoch: int
    cycle: int = 0
    level: str = "MONITORING"
    pending: int | None = None
    asked: int | None = None
    suspended: float | None = None
    free: bool = False  # suspended still or resumed already: nothing was written that would tell
    frames: int = 0
    lost: dict[str, int] = field(default_factory=dict)
    estimator: Streak = field(default_factory=Streak)
    solver: Streak = field(default_factory=Streak)
    heartbeat: float | None = None
    rejected: float | None = None
    sent: Mapping[str, Any] | None = None
    head: int = 0
    orders: int = 0

    def restart(self, epoch: int) -> None:
        """Another start of the controller: nothing is granted any more."""
        head, orders, rules = self.head, self.orders, self.rules
        self.__init__(rules, epoch)  # type: ignore[misc]
        self.head, self.orders = head, orders

    def judge(self, log: Any) -> list[str]:
        """Rules that the controller broke in this cycle."""
        self.cycle += 1
        self._requests(log.asked)
        state = self._conditions(log)
        self._count(state)
        self._account(log, state)
        broken: list[str] = []
        batches = [b for b in log.received if b.keys() - BEAT]
        beats = [b for b in log.received if not b.keys() - BEAT]
        claims = [b.get(f"{APC}STATE") for b in beats]
        for claim in claims:
            broken += self._claim(claim)
        if len(batches) > 1:
            broken.append("more than one frame in a cycle")
        for batch in batches:
            broken += self._frame(batch, log, state)
            if claims and claims != ["CLOSED_LOOP"]:
                broken.append(f"a frame, though the controller says that it is in {claims}")
        orders = 0
        for call in log.calls:
            if call[0] == "RequestControl":
                broken += self._control(call, log, state)
            else:
                orders += 1
                broken += self._order(call, log, state)
        if orders > 1:
            broken.append("more than one order for one advice")
        self.orders += orders
        self._remember(log, batches)
        return broken

    # Operators

    def _requests(self, asked: Sequence[tuple[str, str, str, str]]) -> None:
        for mode, user, role, reason in asked:
            short = len(reason.strip()) < self.rules.reason_min_characters
            if not user or role not in self.rules.roles[mode] or short:
                continue
            if mode == "CLOSED_LOOP":
                if self.level == "ADVISORY":
                    self.pending, self.asked = self.cycle, None
            elif mode == self.level:
                self.pending = self.asked = None
            elif self.level == "SHED":
                if mode == "ADVISORY":
                    self._enter(mode)
            elif mode == "SHED" or MODES.index(mode) <= MODES.index(self.level) + 1:
                self._enter(mode)

    def _enter(self, level: str) -> None:
        self.level, self.pending, self.asked = level, None, None
        self.suspended, self.free, self.frames = None, False, 0

    # What the plant shows

    def _conditions(self, log: Any) -> dict[str, bool]:
        """Which permissives hold, by the rules, from what this cycle's read showed."""
        r, shown = self.rules, log.shown
        self.estimator.count(log.converged is True, r.debounce["estimator"])
        solved = log.plan is not None and log.plan.solved
        self.solver.count(solved, r.debounce["solver"])
        if shown is None:
            return dict.fromkeys(
                ("running", *SAFETY, "measurements", "set_points", "commands", "estimator"), False
            ) | {"solver": False}
        beat = shown[f"{PLC}HB"]
        count = number(shown, f"{PLC}HB")
        fresh = count is not None and self.heartbeat is not None and count > self.heartbeat
        return {
            "heartbeat": fresh and log.clock - beat.source_time <= r.heartbeat_age_max_s,
            "plc_mode": good(shown, f"{PLC}MODE_ACT") == r.structure
            and number(shown, f"{APC}EPOCH") == self.epoch,
            "permit": good(shown, f"{PLC}PERMIT") is True,
            "agreement": good(shown, f"{PLC}RECIPE_ID") == r.recipe_id
            and good(shown, f"{PLC}MODEL_VERSION") == r.model_version
            and not log.disagreements,
            "running": good(shown, f"{PLC}LINE_STATE") == "running",
            "measurements": all(number(shown, t) is not None for t in r.required)
            and all(number(shown, f"{t}/ACT") is not None for t in r.mvs)
            and good(shown, f"{PLC}MODE_ACT") is not None
            and good(shown, f"{PLC}LINE_STATE") is not None,
            "set_points": all(self._movable(shown, t) for t in r.critical),
            "estimator": self.estimator.fails == 0 and self.estimator.passes >= r.estimator_cycles,
            "solver": self.solver.fails == 0 and self.solver.passes >= r.solver_cycles,
            "commands": not log.trouble
            and not self._refused(shown)
            and not self._differs(shown)
            and not self._unproven(),
        }

    @staticmethod
    def _movable(shown: Mapping[str, Any], tag: str) -> bool:
        return good(shown, f"{tag}/AVAIL") is True and number(shown, f"{tag}/ACT") is not None

    def _refused(self, shown: Mapping[str, Any]) -> bool:
        now = number(shown, f"{PLC}REJECTED_COUNT")
        if self.sent is None or self.rejected is None or now is None:
            return False
        return now > self.rejected

    def _differs(self, shown: Mapping[str, Any]) -> bool:
        """Whether a request of the frame before reads back otherwise than it was written."""
        for tag, written in (self.sent or {}).items():
            read = number(shown, tag) if tag.endswith("/REQ") else None
            if read is not None and abs(read - written) > 1e-5 * max(1.0, abs(written)):
                return True
        return False

    def _unproven(self) -> bool:
        """Whether a frame went wrong and none was sent since."""
        writing = self.level == "CLOSED_LOOP" and self.suspended is None
        return writing and self.sent is None and self.lost.get("commands", 0) > 0

    def _count(self, state: Mapping[str, bool]) -> None:
        self.lost = {
            name: 0 if holds else self.lost.get(name, 0) + 1 for name, holds in state.items()
        }

    # The mode that the rules allow

    def _account(self, log: Any, state: Mapping[str, bool]) -> None:
        if self.level == "CLOSED_LOOP":
            self._closed(log, state)
        elif self.level == "ADVISORY" and self.pending is not None:
            self._closing(log, state)

    def _closing(self, log: Any, state: Mapping[str, bool]) -> None:
        if any(not holds for name, holds in state.items() if name != "plc_mode"):
            self.pending = None
        elif state["plc_mode"]:
            self._enter("CLOSED_LOOP")
        elif self.asked is None:
            self.asked = self._asks(log)
            if self.asked is None:
                self.pending = None  # it was refused for a reason of the controller's own
        elif self.cycle - self.asked > self.rules.grant_cycles:
            self.pending = None

    def _asks(self, log: Any) -> int | None:
        """This cycle if the plant is asked for control in it."""
        return self.cycle if any(call[0] == "RequestControl" for call in log.calls) else None

    def _closed(self, log: Any, state: Mapping[str, bool]) -> None:
        r, wrote = self.rules, any(b.keys() - BEAT for b in log.received)
        free, self.free = self.free, False
        if free and (wrote or not state["running"]):
            self.suspended = None  # it may have resumed in a cycle without a frame
        if self.suspended is None and state["running"]:
            late = [n for n, most in r.debounce.items() if self.lost[n] >= most]
            if late or not all(state[n] for n in SAFETY):
                self._enter("SHED")
            return
        since = self.suspended = log.time if self.suspended is None else self.suspended
        self.frames = 0
        line = None if log.shown is None else good(log.shown, f"{PLC}LINE_STATE")
        lasting = all(state[n] for n in SAFETY if n != "plc_mode")
        too_long = not free and log.time - since > r.resume_within_s
        if not lasting or line == "aborted" or too_long:
            self._enter("SHED")
        elif not state["running"]:
            self.asked = None
        elif free or all(state[n] for n in state if n != "plc_mode"):
            if not state["plc_mode"]:
                self.asked = self._asks(log) if self.asked is None else self.asked
                self.free = free
            elif wrote:
                self.suspended, self.asked = None, None
            else:
                self.free = True

    def _claim(self, claim: Any) -> list[str]:
        if claim not in (*MODES, "SHED"):
            return [f"{claim!r} is no mode"]
        if RANK[claim] > RANK[self.level]:
            return [f"the controller says {claim}, the rules allow {self.level}"]
        if claim != "CLOSED_LOOP" and self.level == "CLOSED_LOOP":
            self._enter(claim)
        return []

    # What arrived

    def _frame(self, batch: Mapping[str, Any], log: Any, state: Mapping[str, bool]) -> list[str]:
        r, broken = self.rules, []
        wanted = {f"{APC}{name}" for name in FRAME} | {f"{t}/REQ" for t in r.mvs}
        if set(batch) != wanted:
            return [f"no frame: {sorted(set(batch) ^ wanted)}"]
        if log.shown is None:
            return ["a frame without any data"]
        if self.level != "CLOSED_LOOP" or self.suspended is not None:
            broken.append(f"a frame in {self.level}" + ", suspended" * (self.suspended is not None))
        broken += [f"a frame without {name}" for name in (*SAFETY, "running") if not state[name]]
        broken += [
            f"a frame {self.lost[name]} cycles after {name} was lost"
            for name, most in r.debounce.items()
            if self.lost[name] >= most
        ]
        head, tail = batch[f"{APC}SEQ_HEAD"], batch[f"{APC}SEQ_TAIL"]
        if head != tail or not isinstance(head, int) or head <= self.head:
            broken.append(f"frame {head}..{tail} after {self.head}")
        self.head = max(self.head, head)
        if batch[f"{APC}EPOCH"] != self.epoch:
            broken.append("a frame of another epoch")
        if batch[f"{APC}ECHO"] != number(log.shown, f"{PLC}HB"):
            broken.append("the echo is not the heartbeat that was read")
        if batch[f"{APC}DIVERT_REQ"] is not False:
            broken.append("nobody asked to divert")
        if not log.trouble and self._differs(log.shown):
            broken.append("a frame, though the last one does not read back")
        broken += self._plan(log)
        for tag, mv in r.mvs.items():
            broken += self._request(tag, mv, batch[f"{tag}/REQ"], log)
        self.frames += 1
        return broken

    def _plan(self, log: Any) -> list[str]:
        plan, most = log.plan, self.rules.plan_age_max_cycles
        if plan is None:
            return ["a frame without a plan"]
        if not 0 <= plan.age_cycles <= most:
            return [f"a frame from a plan {plan.age_cycles} cycles old"]
        if not 0.0 <= log.time - plan.time <= most * self.rules.period_s:
            return [f"a frame from a plan of {log.time - plan.time:.0f} s ago"]
        if not all(math.isfinite(v) for t, v in plan.moves.items() if t in self.rules.owned):
            held = {
                t
                for t, v in plan.moves.items()
                if not math.isfinite(v) and not self._movable(log.shown, t)
            }
            bad = {t for t, v in plan.moves.items() if not math.isfinite(v)} - held
            return [f"a frame from a plan that is not a number for {sorted(bad)}"] if bad else []
        return []

    def _request(self, tag: str, mv: Mv, value: Any, log: Any) -> list[str]:
        """One request against everybody's range and rate."""
        actual = number(log.shown, f"{tag}/ACT")
        if isinstance(value, bool) or not isinstance(value, float) or not math.isfinite(value):
            return [f"{tag}: {value!r} is no number"]
        if actual is None:
            return [f"{tag}: a frame without its set point in use"]
        if value == actual:
            return []  # what does not move stays as it was found
        planned = log.plan.moves.get(tag) if log.plan is not None else None
        if tag not in self.rules.owned or planned is None or not self._movable(log.shown, tag):
            return [f"{tag}: {value} is not the set point in use"]
        limits = self._limits(tag, mv, log)
        if limits is None:
            return [f"{tag}: moved, though its limits are unreadable or cross"]
        lo, hi, up, down = limits
        share = min(1.0, (self.frames + 1) / self.rules.ramp_cycles)
        up, down, slack = up * share, down * share, SLACK * mv.move
        broken = []
        if not -down - slack <= value - actual <= up + slack:
            broken.append(f"{tag}: a move of {value - actual:g}, allowed are {-down:g}..{up:g}")
        outside = max(lo - value, value - hi, 0.0)
        was = max(lo - actual, actual - hi, 0.0)
        back = up if actual < lo else down
        if outside > max(was - 0.999 * back, 0.0) + slack:
            broken.append(f"{tag}: {value:g} lies outside {lo:g}..{hi:g}")
        aim = min(max(planned / mv.factor, lo), hi)
        if not min(actual, aim) - slack <= value <= max(actual, aim) + slack:
            broken.append(f"{tag}: {value:g} is not on the way from {actual:g} to {aim:g}")
        return broken

    @staticmethod
    def _limits(tag: str, mv: Mv, log: Any) -> tuple[float, float, float, float] | None:
        """Tightest range and rates that hold now, plant unit; None if they make no sense."""
        lo, hi = number(log.shown, f"{tag}/LO"), number(log.shown, f"{tag}/HI")
        up, down = number(log.shown, f"{tag}/RATE_UP"), number(log.shown, f"{tag}/RATE_DN")
        if lo is None or hi is None or up is None or down is None or up < 0.0 or down < 0.0:
            return None
        ours = log.limits.get(tag, (-math.inf, math.inf))
        if math.isnan(ours[0]) or math.isnan(ours[1]):
            return None
        ends = ((lo, hi), (mv.lo, mv.hi), (ours[0] / mv.factor, ours[1] / mv.factor))
        low, high = max(e[0] for e in ends), min(e[1] for e in ends)
        if low > high + SLACK * mv.move or any(a > b for a, b in ends):
            return None
        return low, high, min(up, mv.move), min(down, mv.move)

    def _control(self, call: Sequence[str], log: Any, state: Mapping[str, bool]) -> list[str]:
        """The plant may be asked for control once a person wants it and nothing is missing."""
        if call[1:3] != (self.rules.structure, str(self.epoch)):
            return [f"control asked for as {call[1:3]}"]
        wanted = self.pending is not None or self.suspended is not None
        if not wanted or self.asked != self.cycle:
            return ["control asked for, though nobody wants it now"]
        if not all(holds for name, holds in state.items() if name != "plc_mode"):
            return ["control asked for, though something is missing"]
        return []

    def _order(self, call: Sequence[str], log: Any, state: Mapping[str, bool]) -> list[str]:
        """An accepted advice, carried out in the operator's name."""
        r, advice, shown = self.rules, log.advice, log.shown
        if advice is None or shown is None:
            return ["an order that nobody accepted"]
        broken = [f"an order without {n}" for n, ok in state.items() if not ok and n != "plc_mode"]
        if self.level != "ADVISORY":
            broken.append(f"an order in {self.level}")
        if call[1:3] != (advice.mv, repr(advice.value)) or advice.mv not in r.owned:
            return [*broken, f"an order for {call[1:3]}, accepted was {advice.mv} {advice.value}"]
        short = len(advice.reason.strip()) < r.reason_min_characters
        if not advice.user or advice.role not in r.advice_roles or short:
            broken.append(f"an order of {advice.user!r} ({advice.role}): {advice.reason!r}")
        if not call[3].startswith(advice.user):
            broken.append("an order that is not in the operator's name")
        if not advice.made <= log.time < advice.expires:
            broken.append("an order from an advice that has expired")
        if not advice.computed_from or dict(advice.computed_from) != dict(log.targets):
            broken.append("an order from an advice for other targets")
        if good(shown, f"{PLC}MODE_ACT") != "LOCAL":
            broken.append("an order outside LOCAL")
        mv, actual = r.mvs[advice.mv], number(shown, f"{advice.mv}/ACT")
        if good(shown, f"{advice.mv}/SRC") != "LOCAL" or not self._movable(shown, advice.mv):
            broken.append("an order for what the operator does not own")
        if actual is None or not abs(actual - advice.now) <= r.set_point_steps * mv.move + SLACK:
            broken.append("an order from another set point")
        limits = self._limits(advice.mv, mv, log)
        if limits is None:
            return [*broken, "an order, though the limits are unreadable or cross"]
        lo, hi, up, down = limits
        if not lo - SLACK <= advice.value <= hi + SLACK:
            broken.append(f"an order outside {lo:g}..{hi:g}")
        if not -down - SLACK <= advice.value - advice.now <= up + SLACK:
            broken.append("an order of more than one move")
        return broken

    def _remember(self, log: Any, batches: Sequence[Mapping[str, Any]]) -> None:
        self.sent = batches[-1] if batches else None
        if log.shown is None:
            return
        beat = number(log.shown, f"{PLC}HB")
        if beat is not None:
            self.heartbeat = beat
        rejected = number(log.shown, f"{PLC}REJECTED_COUNT")
        if rejected is not None:
            self.rejected = rejected
