"""Nodes in a real address space, without sockets: what is made, read, told, and when."""

import asyncio
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from asyncua import Server, ua

from controller.link.server_nodes import Tree
from controller.link.server_values import Quantity, Shown

T0 = 1_700_000_000.0


@pytest.fixture(scope="module")
def server() -> Server:
    made = Server()
    asyncio.run(made.init())
    return made


@pytest.fixture
def tree(server: Server, request: pytest.FixtureRequest) -> Iterator[Tree]:
    """A tree of its own namespace, so that tests do not meet."""
    index = asyncio.run(server.register_namespace(request.node.name))
    yield Tree(server, index, lambda path: path == "Kept")


def show(tree: Tree, values: dict[str, Shown], time: float = T0, **options: Any) -> None:
    asyncio.run(tree.show(values, time, **options))


def read(
    server: Server, tree: Tree, path: str, attribute: ua.AttributeIds = ua.AttributeIds.Value
) -> ua.DataValue:
    return server.read_attribute_value(tree.node_id(path), attribute)


def listen(server: Server, tree: Tree, path: str) -> list[ua.DataValue]:
    seen: list[ua.DataValue] = []

    async def told(_: int, data: ua.DataValue) -> None:
        seen.append(data)

    code, _ = server.iserver.aspace.add_datachange_callback(
        tree.node_id(path), ua.AttributeIds.Value, told
    )
    assert code.is_good()
    return seen


@pytest.mark.parametrize(
    ("value", "kind", "shown"),
    [
        (True, "Boolean", True),
        (7, "Int64", 7),
        (1.5, "Double", 1.5),
        ("text", "String", "text"),
        (datetime(2026, 1, 1, tzinfo=UTC), "DateTime", datetime(2026, 1, 1, tzinfo=UTC)),
        (("a", "b"), "String", ["a", "b"]),
        ((), "String", []),
        (Quantity(2.5, "mg"), "Double", 2.5),
        (Quantity((1.0, 2.0), "mg"), "Double", [1.0, 2.0]),
    ],
)
def test_values_have_the_types_of_the_standard(
    server: Server, tree: Tree, value: Shown, kind: str, shown: object
) -> None:
    show(tree, {"Branch/Leaf": value})
    data = read(server, tree, "Branch/Leaf")
    assert data.StatusCode.is_good()
    assert (data.Value.VariantType.name, data.Value.Value) == (kind, shown)
    assert data.SourceTimestamp == datetime.fromtimestamp(T0, UTC)
    rank = read(server, tree, "Branch/Leaf", ua.AttributeIds.ValueRank).Value.Value
    assert (rank == ua.ValueRank.OneDimension) is isinstance(shown, list)
    data_type = read(server, tree, "Branch/Leaf", ua.AttributeIds.DataType).Value.Value
    assert data_type == ua.NodeId(getattr(ua.ObjectIds, kind))


def test_a_quantity_has_its_unit_and_a_key_signal_its_history(server: Server, tree: Tree) -> None:
    show(tree, {"Kept": Quantity(2.5, "mg"), "Other": 1})
    unit = read(server, tree, "Kept/EngineeringUnits").Value.Value
    assert unit.DisplayName.Text == "mg"
    access = {
        path: read(server, tree, path, ua.AttributeIds.AccessLevel).Value.Value
        for path in ("Kept", "Other")
    }
    assert access == {
        "Kept": 1 << ua.AccessLevel.CurrentRead | 1 << ua.AccessLevel.HistoryRead,
        "Other": 1 << ua.AccessLevel.CurrentRead,
    }


def test_what_a_cycle_no_longer_has_is_out_of_service(server: Server, tree: Tree) -> None:
    show(tree, {"A": 1.0, "B": 2.0})
    seen = listen(server, tree, "B")
    show(tree, {"A": 1.0}, T0 + 5)
    data = read(server, tree, "B")
    assert (data.StatusCode.name, data.Value.Value) == ("BadOutOfService", None)
    show(tree, {"A": 1.0, "B": 2.0}, T0 + 10)
    assert read(server, tree, "B").Value.Value == 2.0
    assert [d.StatusCode.is_good() for d in seen] == [False, True]


def test_no_number_is_never_shown_as_good(server: Server, tree: Tree) -> None:
    show(tree, {"A": math.nan, "B": Quantity(math.nan, "mg")})
    for path in ("A", "B"):
        assert read(server, tree, path).StatusCode.name == "BadOutOfService"


def test_only_what_changed_is_told_and_has_a_new_time(server: Server, tree: Tree) -> None:
    show(tree, {"A": 1.0, "B": (Quantity((1.0, 2.0), "s"))})
    seen = {path: listen(server, tree, path) for path in ("A", "B")}
    show(tree, {"A": 1.0, "B": Quantity((1.0, 3.0), "s")}, T0 + 5)
    assert seen["A"] == []
    assert [d.Value.Value for d in seen["B"]] == [[1.0, 3.0]]
    assert read(server, tree, "A").SourceTimestamp == datetime.fromtimestamp(T0, UTC)
    assert read(server, tree, "B").SourceTimestamp == datetime.fromtimestamp(T0 + 5, UTC)


def test_many_new_nodes_are_made_over_several_cycles(server: Server, tree: Tree) -> None:
    values: dict[str, Shown] = {f"Branch/{i}": i for i in range(7)}
    made = []
    for cycle in range(4):
        show(tree, values, T0 + cycle, new=3)
        made.append(sum(tree.path_of(tree.node_id(p)) is not None for p in values))
    assert made == [3, 6, 7, 7]


def test_a_part_leaves_the_rest_alone(server: Server, tree: Tree) -> None:
    show(tree, {"A": 1.0})
    show(tree, {"Trouble": "disk full"}, T0 + 5, partly=True)
    assert read(server, tree, "A").Value.Value == 1.0
    assert read(server, tree, "Trouble").Value.Value == "disk full"
