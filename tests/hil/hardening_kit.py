"""The same few nodes on the plant's server and on the library's as it is, to be probed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asyncua import Client, Server, ua
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.user_managers import UserManager

from plant_models.signals import MV, PLC
from tests.helpers.site import running_site

NUMBER, TEXT = "Line/Blender/Torque/PV", PLC.LINE_STATE
READ_ONLY = f"{MV.THICKNESS}/ACT"
REQUEST = f"{MV.THICKNESS}/REQ"
ARRAY = "Line/Lab/Sample/WEIGHT"
METHOD = PLC.LINE_COMMAND


@dataclass
class Bench:
    """A server under test: who may log in, where its nodes are, how a value gets out."""

    server: Server
    endpoint: str
    connect: Callable[[str], AbstractAsyncContextManager[Client]]
    password: Callable[[str], str]
    publish: Callable[[str, Any], Awaitable[None]]
    sliced: str
    calls: list[Any] = field(default_factory=list)

    async def node(self, client: Client, tag: str) -> ua.NodeId:
        return ua.NodeId(tag, await client.get_namespace_index("urn:twinline:plant"))

    @asynccontextmanager
    async def stranger(self) -> AsyncIterator[Client]:
        """A channel without security and without a session."""
        client = Client(self.endpoint, timeout=5)
        await client.connect_socket()
        try:
            await client.send_hello()
            await client.open_secure_channel()
            yield client
        finally:
            client.disconnect_socket()


class _Everybody(UserManager):
    """As the library's documentation shows it: one name is an administrator."""

    def get_user(
        self, iserver: Any, username: Any = None, password: Any = None, certificate: Any = None
    ) -> User | None:
        role = UserRole.Admin if username == "engineer" else UserRole.User
        return User(role=role, name=username) if password == "secret" else None


@asynccontextmanager
async def stock_bench() -> AsyncIterator[Bench]:
    """The library as it comes, as open as its examples are."""
    server = Server(user_manager=_Everybody())
    await server.init()
    server.set_endpoint("opc.tcp://127.0.0.1:0/stock")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace("urn:twinline:plant")
    line = await server.nodes.objects.add_object(ua.NodeId("Line", index), f"{index}:Line")
    kinds: dict[str, tuple[Any, ua.VariantType]] = {
        NUMBER: (5.0, ua.VariantType.Double),
        TEXT: ("idle", ua.VariantType.String),
        READ_ONLY: (3.0, ua.VariantType.Double),
        REQUEST: (3.0, ua.VariantType.Double),
        ARRAY: ([float(n) for n in range(10)], ua.VariantType.Double),
    }
    for tag, (value, kind) in kinds.items():
        name = f"{index}:{tag.replace('/', '_')}"
        node = await line.add_variable(ua.NodeId(tag, index), name, value, kind)
        if tag in (REQUEST, ARRAY):
            await node.set_writable()
    calls: list[Any] = []

    async def called(_: ua.NodeId, *arguments: ua.Variant) -> list[ua.Variant]:
        calls.append([a.Value for a in arguments])
        return [ua.Variant("done", ua.VariantType.String)]

    text = ua.Argument(Name="text", DataType=ua.NodeId(12), ValueRank=-1)
    await line.add_method(
        ua.NodeId(METHOD, index), f"{index}:LineCommand", called, [text, text], [text]
    )
    await server.start()
    assert server.bserver is not None
    endpoint = f"opc.tcp://127.0.0.1:{server.bserver.port}/stock"

    @asynccontextmanager
    async def connect(user: str) -> AsyncIterator[Client]:
        client = Client(endpoint, timeout=5)
        client.set_user(user)
        client.set_password("secret")
        async with client:
            yield client

    async def publish(tag: str, value: Any) -> None:
        node = ua.NodeId(tag, index)
        await server.write_attribute_value(node, ua.DataValue(ua.Variant(value, kinds[tag][1])))

    try:
        yield Bench(server, endpoint, connect, lambda _: "secret", publish, ARRAY, calls)
    finally:
        await server.stop()


@asynccontextmanager
async def plant_bench(root: Path, home: Path) -> AsyncIterator[Bench]:
    """The plant's server."""
    async with running_site(root, home) as site:

        async def publish(tag: str, value: Any) -> None:
            site.plant.written[tag] = value
            site.plant.advance(1)
            await site.server._publish()

        yield Bench(
            site.server._server,
            site.endpoint,
            site.client,
            site.password,
            publish,
            REQUEST,
            site.plant.calls,
        )


Probe = Callable[[Bench], Awaitable[bool]]


class Running:
    """A bench that lives as long as a module of tests; it runs only while a probe runs."""

    def __init__(self, bench: AbstractAsyncContextManager[Bench]) -> None:
        self._runner, self._stack = asyncio.Runner(), AsyncExitStack()
        self.bench = self._runner.run(self._stack.enter_async_context(bench))

    def closed(self, probe: Probe) -> bool:
        """Whether the server withstands a probe."""
        return self._runner.run(asyncio.wait_for(self._probe(probe), 30.0))

    async def _probe(self, probe: Probe) -> bool:
        return await probe(self.bench)

    def stop(self) -> None:
        self._runner.run(self._stack.aclose())
        self._runner.close()


@contextmanager
def running(bench: AbstractAsyncContextManager[Bench]) -> Iterator[Running]:
    made = Running(bench)
    try:
        yield made
    finally:
        made.stop()
