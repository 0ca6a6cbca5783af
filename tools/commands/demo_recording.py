"""``twinline demo --recording``: a recorded press instead of a simulated shift."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import typer
from rich.console import Console

from tools.demo.recorded import RecordedOrder, prepare_recorded, run_recorded

__all__ = ["MINUTES", "ready_recording", "refuse_idle"]

MINUTES = 120.0
_WIDTH = 140  # of tables that go to a file
_ONLY_RECORDED = ("mapping", "law")
_ONLY_SIMULATED = ("controller", "seed", "shift")


def refuse_idle(context: typer.Context, recording: Path | None) -> None:
    """Refuse options that would say nothing to this kind of demo."""
    idle = _ONLY_RECORDED if recording is None else _ONLY_SIMULATED
    given = [
        f"--{name}"
        for name in idle
        if (source := context.get_parameter_source(name)) is not None and source.name != "DEFAULT"
    ]
    if given:
        only = "only with --recording FILE" if recording is None else "not with --recording"
        raise ValueError(f"{', '.join(given)}: {only}")


def ready_recording(order: RecordedOrder, console: Console) -> Callable[[], bool]:
    """Read and fit; what remains to be done says whether it ran through."""
    if not console.is_terminal:
        console.width = max(console.width, _WIDTH)
    console.print(f"run {order.run.path}: recording {order.file}", soft_wrap=True)
    prepared = prepare_recorded(order, console)
    return lambda: run_recorded(prepared, console)
