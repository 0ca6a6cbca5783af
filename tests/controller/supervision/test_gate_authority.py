"""Nobody but the gate can write: what the types allow, and what the source and its imports say."""

import ast
import copy
import dataclasses
import functools
import inspect
import pickle
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

from controller.data import Mode
from controller.link.reader import PlantReader
from controller.supervision import authority as authority_module
from controller.supervision import gate as gate_module
from controller.supervision.authority import Authority, authorise
from controller.supervision.gate import Gate, OperatorOrder, WriteGate
from plant_models.signals import APC, CommandFrame

GATE = "controller/supervision/gate.py"


def leave() -> Authority:
    return authorise(cycle=1, time=0.0, mode=Mode.CLOSED_LOOP, suspended=False, permissives={})


def test_leave_to_write_cannot_be_made_changed_or_kept() -> None:
    granted = leave()
    given = {"cycle": 1, "time": 0.0, "mode": Mode.CLOSED_LOOP, "suspended": False}
    with pytest.raises(TypeError, match="only supervision gives leave"):
        Authority(**given, permissives={}, seal=object())  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Authority(**given, permissives={})  # type: ignore[call-arg, arg-type]
    with pytest.raises(ValueError, match="seal"):
        dataclasses.replace(granted, cycle=2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        granted.cycle = 2  # type: ignore[misc]
    for keep in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="never kept"):
            keep(granted)


def test_the_types_say_who_may_write() -> None:
    hints = inspect.get_annotations(WriteGate.send)
    assert hints["authority"] == "Authority | None"
    assert inspect.get_annotations(Gate.decide)["authority"] == "Authority | None"
    assert inspect.get_annotations(WriteGate.order)["order"] == "OperatorOrder"


def test_the_gate_does_not_hand_out_what_it_holds() -> None:
    class Nothing:
        async def write(self, writes: object) -> dict[str, int]:
            return {}

    public = [n for n, _ in inspect.getmembers(WriteGate(Nothing())) if not n.startswith("_")]
    assert public == ["beat", "order", "send"]


# What the source says


@functools.cache
def _sources(root: Path) -> dict[str, ast.Module]:
    return {
        path.relative_to(root).as_posix(): ast.parse(path.read_text("utf-8"))
        for path in sorted((root / "controller").rglob("*.py"))
    }


def _called(node: ast.Call) -> str:
    return getattr(node.func, "id", getattr(node.func, "attr", ""))


def _who_calls(root: Path, name: str) -> dict[str, int]:
    """Modules of the controller that call ``name``, as function or as method, and how often."""
    found: dict[str, int] = {}
    for path, tree in _sources(root).items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _called(node) == name:
                found[path] = found.get(path, 0) + 1
    return found


def _names(root: Path, name: str) -> set[str]:
    """Modules that mention ``name`` in any way but in words."""

    def mentions(tree: ast.Module) -> Iterator[bool]:
        for node in ast.walk(tree):
            yield isinstance(node, ast.Name) and node.id == name
            yield isinstance(node, ast.Attribute) and node.attr == name
            yield isinstance(node, ast.alias) and name in (node.name, node.asname)

    return {path for path, tree in _sources(root).items() if any(mentions(tree))}


@pytest.mark.parametrize(
    ("name", "callers"),
    [
        (CommandFrame.__name__, {GATE: 1}),
        (OperatorOrder.__name__, {GATE: 1}),
        ("as_writes", {GATE: 1}),
        (Authority.__name__, {"controller/supervision/authority.py": 1}),
        (authorise.__name__, {"controller/supervision/supervisor.py": 1}),
        (WriteGate.__name__, {"controller/runtime.py": 1}),
        ("operator_set", {GATE: 1}),
    ],
)
def test_what_writing_needs_is_made_and_called_in_one_place(
    root: Path, name: str, callers: dict[str, int]
) -> None:
    assert _who_calls(root, name) == callers


def test_writes_are_called_by_the_gate_and_carried_out_by_the_link(root: Path) -> None:
    """``write`` on anything: two in the gate (frame, heartbeat), one service call of the link."""
    assert _who_calls(root, "write") == {GATE: 2, "controller/link/client.py": 1}


@pytest.mark.parametrize("name", ["write_value", "write_values", "write_attribute", "set_values"])
def test_no_other_way_of_the_library_to_write_is_used_on_a_client(root: Path, name: str) -> None:
    """The controller's own server sets its own nodes; modules with a client may not."""
    clients = _names(root, "Client")
    assert clients
    assert not clients & set(_who_calls(root, name))


def test_the_seal_of_the_leave_is_named_where_it_is_made_only(root: Path) -> None:
    assert _names(root, "_SEAL") == {"controller/supervision/authority.py"}
    assert _names(root, "_writer") == {GATE}
    assert _names(root, "_operator") <= {GATE, "controller/supervision/findings.py"}


def test_only_the_gate_names_tags_of_a_frame(root: Path) -> None:
    frame = {"SEQ_HEAD", "SEQ_TAIL", "ECHO", "DIVERT_REQ"}
    users = {
        path
        for path, tree in _sources(root).items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr in frame
        and isinstance(node.value, ast.Name)
        and node.value.id == APC.__name__
    }
    assert users <= {GATE}


def test_methods_of_the_plant_are_called_by_the_link_and_the_operators_session_only(
    root: Path,
) -> None:
    assert _names(root, "REQUEST_CONTROL") == {"controller/link/client.py"}
    assert _names(root, "OPERATOR_SET") == {"controller/link/advisor.py"}
    assert _names(root, "SET_LOCAL") == _names(root, "LINE_COMMAND") == set()
    assert _names(root, "LOAD_RECIPE") == set()


# What the imports say


def test_the_gate_knows_nothing_of_the_link_and_few_know_the_leave() -> None:
    graph = grimp.build_graph("controller", cache_dir=None)
    below = graph.find_upstream_modules(gate_module.__name__)
    assert not {m for m in below if m.startswith(("controller.link", "controller.runtime"))}
    assert graph.find_modules_that_directly_import(authority_module.__name__) == {
        "controller.cycle_data",
        "controller.supervision.gate",
        "controller.supervision.gate_checks",
        "controller.supervision.supervisor",
    }
    writers = graph.find_modules_that_directly_import("controller.link.advisor")
    assert not {m for m in writers if m.startswith("controller.supervision")}


def test_the_runtime_keeps_a_link_that_cannot_write(root: Path) -> None:
    """Its attribute has a type without ``write`` and ``call``, which mypy holds it to."""
    offered = {n for n in vars(PlantReader) if not n.startswith("_")}
    assert {"read", "connect", "request_control"} <= offered
    assert not {"write", "call"} & offered
    tree = _sources(root)["controller/runtime.py"]
    kept = [
        ast.unparse(node.annotation)
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "self._link"
    ]
    assert kept == [PlantReader.__name__]
    given = [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and _called(node) == WriteGate.__name__
    ]
    assert given == ["WriteGate(link, operator)"]
