"""A controller's memory in a file: what it has learnt from data, for another start to go on from.

The file says which models and configuration the memory belongs to; with others it is refused. Of a
saved state `resumed` takes what belongs to the data. Mode, lease and everything else that belongs
to a start is new.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from controller.cycle_data import CycleSetup, CycleState
from controller.records.codec import CodecError, decode_state, encode_state

__all__ = ["StateFileError", "load_state", "resumed", "save_state"]

_MAGIC = b"twinline controller state 1\n"
_MEANING = {
    "software": "other software",
    "models": "another line or signal list",
    "configuration": "another configuration of the controller",
}


class StateFileError(ValueError):
    """A file that holds no state, or one that does not belong to this controller."""


def save_state(path: Path, state: CycleState, setup: CycleSetup) -> None:
    """Write ``state``, as it is after a cycle with ``setup``, atomically."""
    facts = {
        "hashes": dict(setup.hashes),
        "algorithm": setup.config.algorithm,
        "controller": setup.config.name,
        "cycle": state.cycle,
        "time": state.time,
    }
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    partial.write_bytes(_MAGIC + json.dumps(facts).encode() + b"\n" + encode_state(state))
    partial.replace(path)


def load_state(path: Path, setup: CycleSetup) -> CycleState:
    """What `save_state` wrote.

    Raises `StateFileError` if the file is something else or was saved with other models or another
    configuration than those of ``setup``; software is compared where both sides name theirs.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StateFileError(
            f"{path}: the saved state cannot be read ({error.strerror}); give a file that was "
            "saved after a cycle"
        ) from error
    if not content.startswith(_MAGIC):
        raise StateFileError(
            f"{path}: this is no saved state of a controller; give a file that was saved after a "
            "cycle of this version"
        )
    head, _, blob = content.removeprefix(_MAGIC).partition(b"\n")
    try:
        facts: dict[str, Any] = json.loads(head)
        hashes: dict[str, str] = facts["hashes"]
        named = f"{facts['controller']} ({facts['algorithm']}), cycle {facts['cycle']}"
    except (ValueError, KeyError, TypeError) as error:
        raise StateFileError(
            f"{path}: the head of the saved state is damaged; save it again"
        ) from error
    others = [
        f"{meaning} ({hashes.get(name)}, here {ours})"
        for name, meaning in _MEANING.items()
        if (ours := setup.hashes.get(name, "")) != hashes.get(name)
        and not (name == "software" and "" in (ours, hashes.get(name, "")))
    ]
    if others:
        raise StateFileError(
            f"{path}: the state of {named} was saved with {' and '.join(others)}; resume it with "
            "what it was saved with, or start without it"
        )
    try:
        return decode_state(blob)
    except CodecError as error:
        raise StateFileError(f"{path}: the state of {named} is damaged: {error}") from error


def resumed(fresh: CycleState, saved: CycleState) -> CycleState:
    """``fresh`` with the memory of ``saved``: cycle, plant time, validation, algorithm."""
    return replace(
        fresh,
        cycle=saved.cycle,
        time=saved.time,
        validation=saved.validation,
        brain=saved.brain,
    )
