"""A plant server with keys and accounts of its own, and links to it, on a free port."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256

from controller.config import LinkConfig
from controller.link.client import Credentials, PlantLink
from controller.link.tagmap import TagMapConfig
from hil.server import PlantPort, PlantServer, ServeSettings
from plant_models.signal_list import signal_table
from plant_models.signals import SignalTable
from tests.helpers.fake_plant import FakePlant
from tools.clocks import SystemClock
from tools.configuration import load_line, load_security
from tools.pki import Party, ensure_pki
from tools.security import (
    SecurityConfig,
    ensure_secrets,
    read_password,
    secrets_folder,
    server_security,
)


@dataclass
class Site:
    """Everything around one plant: keys, passwords, server, address."""

    plant: FakePlant
    server: PlantServer
    parties: dict[str, Party]
    secrets: Path
    endpoint: str

    def password(self, user: str) -> str:
        return read_password(self.secrets / f"{user}.password")

    def credentials(self, user: str = "controller", party: str = "controller") -> Credentials:
        me = self.parties[party]
        return Credentials(
            user=user,
            password=self.password(user),
            certificate=me.certificate,
            private_key=me.private_key,
            server_certificate=me.certificate_of("plant"),
            previous_server_certificate=me.previous_certificate_of("plant"),
            watched={"operator": me.certificate_of("operator")},
            application_uri=me.uri,
        )

    def link(
        self,
        credentials: Credentials | None = None,
        *,
        endpoint: str | None = None,
        config: LinkConfig | None = None,
        tagmap: TagMapConfig | None = None,
        table: SignalTable | None = None,
    ) -> PlantLink:
        return PlantLink(
            table or self.plant.table,
            config or LinkConfig(),
            credentials or self.credentials(),
            SystemClock(),
            endpoint=endpoint or self.endpoint,
            tagmap=tagmap,
        )

    @asynccontextmanager
    async def client(self, user: str) -> AsyncIterator[Client]:
        """A plain OPC UA client with a session of ``user`` and the operator's certificate."""
        who = self.credentials(user, "operator")
        client = Client(self.endpoint, timeout=5)
        client.application_uri = who.application_uri
        client.set_user(who.user)
        client.set_password(who.password)
        await client.set_security(
            SecurityPolicyBasic256Sha256,
            who.certificate,
            who.private_key,
            server_certificate=str(who.server_certificate),
            mode=ua.MessageSecurityMode.SignAndEncrypt,
        )
        async with client:
            yield client


def reference_table(root: Path) -> SignalTable:
    return signal_table(load_line(root / "configs" / "lines" / "reference.yaml").line)


def security_config(root: Path) -> SecurityConfig:
    config = load_security(root / "configs" / "security" / "default.yaml")
    assert isinstance(config, SecurityConfig)
    return config


@asynccontextmanager
async def running_site(
    root: Path,
    home: Path,
    *,
    speed: float = 0.0,
    allow_unencrypted: bool = False,
    plant: PlantPort | None = None,
) -> AsyncIterator[Site]:
    """A server in front of ``plant``, by default a `FakePlant`."""
    config, clock = security_config(root), SystemClock()
    config = config.model_copy(update={"allow_unencrypted": allow_unencrypted})
    parties = ensure_pki(home)
    ensure_secrets(secrets_folder(home), config)
    fake = FakePlant(reference_table(root))
    security = server_security(parties["plant"], secrets_folder(home), config, clock)
    server = PlantServer(plant or fake, ServeSettings(port=0, speed=speed), security, clock)
    await server.start()
    stop = asyncio.Event()
    running = asyncio.create_task(server.run(stop))
    try:
        yield Site(fake, server, parties, secrets_folder(home), server.endpoint)
    finally:
        stop.set()
        await running
        await server.stop()


Scenario = Callable[[Site], Coroutine[Any, Any, None]]
Run = Callable[[Scenario], None]


class SharedSite:
    """One server for the tests of a module; it runs only while a test runs."""

    def __init__(self, root: Path, home: Path) -> None:
        self._runner, self._stack = asyncio.Runner(), AsyncExitStack()
        self.site = self._runner.run(self._stack.enter_async_context(running_site(root, home)))

    def run(self, scenario: Scenario) -> None:
        self.site.plant.forget()
        self._runner.run(asyncio.wait_for(scenario(self.site), 30.0))

    def close(self) -> None:
        self._runner.run(self._stack.aclose())
        self._runner.close()


def without_certificate(credentials: Credentials) -> Credentials:
    return replace(credentials, certificate=None, private_key=None, server_certificate=None)
