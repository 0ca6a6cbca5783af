"""Slips of the pen in gate and supervision, each plausible, each of which the judge must notice.

A mutant is one replacement in the source of one module. `planted` compiles the changed source and
lends its functions' code to the real ones, so that whoever has imported them runs the mutant.
"""

from __future__ import annotations

import importlib
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PACKAGE = "controller.supervision"


@dataclass(frozen=True, slots=True)
class Mutant:
    """What somebody forgot, and the change to ``module`` that forgets it.

    ``wiring``: it shows in the whole cycle only.
    """

    slip: str
    module: str
    old: str
    new: str
    wiring: bool = False


MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "the full rate is used from the first cycle on",
        "gate",
        "limited_move(wanted, actual, bounds, share)",
        "limited_move(wanted, actual, bounds, 1.0)",
    ),
    Mutant(
        "SI is written where the plant unit is due",
        "gate",
        "wanted = planned[tag] / mv.factor",
        "wanted = planned[tag]",
    ),
    Mutant(
        "a set point that is not available is moved",
        "gate",
        "if validated.available.get(tag) is not True:\n                reasons",
        "if tag not in validated.available:\n                reasons",
    ),
    Mutant(
        "a plan that is not a number is let through",
        "gate",
        "if not math.isfinite(wanted):",
        "if wanted is None:",
    ),
    Mutant(
        "whatever is planned is moved, owned or not",
        "gate",
        "if tag not in self.owned or tag not in planned:",
        "if tag not in planned:",
    ),
    Mutant(
        "the number of a frame begins anew with the controller",
        "gate",
        "max(sequence + 1, snapshot.scan_id)",
        "sequence + 1",
    ),
    Mutant(
        "the ranges of operator and product are forgotten",
        "gate",
        "bounds = tight_bounds(mv, snapshot, limits.get(tag))\n            if",
        "bounds = tight_bounds(mv, snapshot, None)\n            if",
    ),
    Mutant(
        "the read-back of the last frame is not looked at",
        "gate",
        "or not_read_back(sent, snapshot)",
        'or ""',
    ),
    Mutant(
        "an order outlives the set point that it was computed from",
        "gate",
        "if abs(actual - now) > self.set_point_steps * mv.move:",
        "if abs(actual - now) > 100.0 * mv.move:",
    ),
    Mutant(
        "an order is made for what a loop of the PLC owns",
        "gate",
        "if snapshot.text(mv.src) != PlcMode.LOCAL:",
        "if snapshot.text(mv.src) is None:",
    ),
    Mutant(
        "an order needs no permissives",
        "gate",
        "or lost_for_orders(permissives)",
        'or ""',
    ),
    Mutant(
        "a negative rate of the plant is believed",
        "gate_limits",
        "if up < 0.0 or down < 0.0:",
        "if up < 0.0 and down < 0.0:",
    ),
    Mutant(
        "an unreadable clamp counts as none",
        "gate_limits",
        'return f"{tag} is unreadable"',
        "value = -math.inf if tag == mv.lo_tag else math.inf",
    ),
    Mutant(
        "the plant's range replaces ours",
        "gate_limits",
        "lo, hi = max(lo, mv.lo), min(hi, mv.hi)",
        "lo, hi = min(lo, hi), max(lo, hi)",
    ),
    Mutant(
        "a faster plant is followed",
        "gate_limits",
        "up=min(up, mv.move)",
        "up=max(up, mv.move)",
    ),
    Mutant(
        "a plan may be a little older than allowed",
        "gate_checks",
        "if not 0 <= plan.age_cycles <= age_max_cycles:",
        "if not 0 <= plan.age_cycles <= 2 * age_max_cycles:",
    ),
    Mutant(
        "a plan for the future is carried out now",
        "gate_checks",
        "if not 0.0 <= age_s <= age_max_cycles * period_s:",
        "if age_s > age_max_cycles * period_s:",
    ),
    Mutant(
        "an advice never expires",
        "gate_checks",
        "if not made <= snapshot.time < expires:",
        "if not made <= snapshot.time:",
    ),
    Mutant(
        "an advice outlives its targets",
        "gate_checks",
        "not abs(wanted - then) <= _SAME_TARGET * abs(then)",
        "not abs(wanted - then) <= abs(then)",
    ),
    Mutant(
        "a fall is limited by the rate of a rise",
        "bumpless",
        "elif value < actual - down:\n        value, limited_by = actual - down",
        "elif value < actual - up:\n        value, limited_by = actual - up",
    ),
    Mutant(
        "a heartbeat that stands still counts as fresh",
        "findings",
        "if validated.heartbeat <= last:",
        "if validated.heartbeat < last:",
    ),
    Mutant(
        "a unit that differs is overlooked",
        "findings",
        "if link.disagreements:",
        "if len(link.disagreements) > 1:",
    ),
    Mutant(
        "a lost permissive never counts for longer than a cycle",
        "permissives",
        "(1 if old is None or old.good else old.lost_cycles + 1)",
        "1",
    ),
    Mutant(
        "control comes back by itself however long the line stood",
        "supervisor",
        "if now.suspended_s > within else",
        "if now.suspended_s > 100.0 * within else",
    ),
    Mutant(
        "anybody may ask for a mode",
        "supervisor",
        "why_not = refusal(ASKS[event], r.user, r.role, r.reason, config)",
        'why_not = ""',
    ),
    Mutant(
        "the cycle does not hand on the share of the rate",
        "controller.cycle",
        "share=ramp(decision.state.closed_cycles, setup.config.supervision.closing_ramp_cycles),",
        "share=1.0,",
        wiring=True,
    ),
    Mutant(
        "the cycle does not hand on the frame before",
        "controller.cycle",
        "sent=sent,",
        "sent=None,",
        wiring=True,
    ),
)


@contextmanager
def planted(mutant: Mutant) -> Iterator[None]:
    """Run with the mutant in place of the real code."""
    name = mutant.module if "." in mutant.module else f"{PACKAGE}.{mutant.module}"
    module = importlib.import_module(name)
    path = Path(str(module.__file__))
    source = path.read_text(encoding="utf-8")
    if source.count(mutant.old) != 1:
        raise ValueError(
            f"{mutant.slip}: {path.name} holds {mutant.old!r} {source.count(mutant.old)} times; "
            "the mutant must name one place"
        )
    changed: dict[str, Any] = {"__name__": module.__name__, "__file__": str(path)}
    code = compile(source.replace(mutant.old, mutant.new), str(path), "exec")
    other = types.ModuleType(module.__name__)
    other.__dict__.update(changed)
    with _registered(module.__name__, other):
        exec(code, other.__dict__)
    lent = _differing(_functions(module), _functions(other))
    if not lent:
        raise ValueError(f"{mutant.slip}: no function of {path.name} is changed by it")
    kept = [(function, function.__code__) for function, _ in lent]
    try:
        for function, body in lent:
            function.__code__ = body
        yield
    finally:
        for function, body in kept:
            function.__code__ = body


@contextmanager
def _registered(name: str, module: types.ModuleType) -> Iterator[None]:
    """`dataclass` looks its module up by name while it makes a class."""
    import sys

    real = sys.modules[name]
    sys.modules[name] = module
    try:
        yield
    finally:
        sys.modules[name] = real


def _functions(module: types.ModuleType) -> dict[str, types.FunctionType]:
    """Functions and methods that are written in a module, by qualified name."""
    found = {}
    for value in vars(module).values():
        members = vars(value).values() if isinstance(value, type) else (value,)
        for member in members:
            inner = getattr(member, "fget", None) or getattr(member, "__func__", None) or member
            if (
                isinstance(inner, types.FunctionType)
                and inner.__module__ == module.__name__
                and inner.__code__.co_filename == module.__file__
            ):
                found[inner.__qualname__] = inner
    return found


def _differing(
    real: dict[str, types.FunctionType], other: dict[str, types.FunctionType]
) -> list[tuple[types.FunctionType, types.CodeType]]:
    """Real functions whose code is another in the mutant, with that code."""
    return [
        (function, other[name].__code__)
        for name, function in real.items()
        if name in other and _essence(other[name].__code__) != _essence(function.__code__)
    ]


def _essence(code: types.CodeType) -> tuple[Any, ...]:
    """What a function does, without the lines on which it stands."""
    constants = tuple(
        _essence(c) if isinstance(c, types.CodeType) else repr(c) for c in code.co_consts
    )
    return (code.co_code, constants, code.co_names, code.co_varnames)
