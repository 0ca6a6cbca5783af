"""The controller's OPC UA server with keys and accounts, fed by a loop without physics."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256

from controller.alarms.definitions import Definition
from controller.alarms.engine import AlarmEvent, AlarmState, Condition, update
from controller.alarms.handling import handle_alarm_requests
from controller.alarms.requests import AlarmRequest
from controller.cycle_data import CycleOutput
from controller.link.server import OperatorServer, Person
from controller.supervision.modes import ModeRequest
from hil.hardening import HardenedServer, caller
from plant_models.signals import CONTROLLER_URI
from tests.controller.kit import PERIOD, TABLE, Loop
from tools.clocks import SystemClock
from tools.configuration import load_security
from tools.pki import Party, ensure_pki
from tools.security import (
    SecurityConfig,
    ensure_secrets,
    read_password,
    secrets_folder,
    server_security,
)


def overseen(output: CycleOutput, **reports: object) -> CycleOutput:
    """``output`` with other reports than it has."""
    assert output.oversight is not None
    return replace(output, oversight=replace(output.oversight, **reports))


@dataclass
class ControllerSite:
    """Everything around one server of a controller; requests for modes reach the loop."""

    server: OperatorServer
    parties: dict[str, Party]
    secrets: Path
    definitions: Mapping[str, Definition]
    loop: Loop = field(default_factory=Loop)
    requests: list[object] = field(default_factory=list)
    alarms: AlarmState = field(default_factory=AlarmState)
    audited: list[tuple[str, str, str, bool, str]] = field(default_factory=list)

    def password(self, user: str) -> str:
        return read_password(self.secrets / f"{user}.password")

    async def ask(self, request: object) -> tuple[bool, str]:
        """What a controller does with a request."""
        self.requests.append(request)
        if isinstance(request, AlarmRequest):
            return await self._handle(request)
        if not isinstance(request, ModeRequest):
            return True, "noted"
        output = await self.cycle(request)
        (answer,) = output.answers
        return bool(answer.accepted), answer.text

    async def _handle(self, request: AlarmRequest) -> tuple[bool, str]:
        self.alarms, (answer,), events = handle_alarm_requests(
            self.alarms,
            (request,),
            self.definitions,
            config=self.loop.config.supervision,
            time=self.loop.state.time,
        )
        await self._show(self.loop.outputs[-1], events)
        return answer.accepted, answer.text

    async def _show(self, output: CycleOutput, events: tuple[AlarmEvent, ...]) -> None:
        shown = overseen(output, alarms=self.alarms, alarm_events=events)
        await self.server.publish(shown, "connected")

    async def cycle(
        self, *requests: ModeRequest, conditions: Mapping[str, Condition] | None = None
    ) -> CycleOutput:
        """One cycle, shown; ``conditions`` are those of alarms."""
        output = self.loop.cycle(*requests)
        self.alarms, events = update(
            self.alarms, conditions or {}, self.definitions, time=output.record.time
        )
        await self._show(output, events)
        return output

    @asynccontextmanager
    async def client(self, user: str) -> AsyncIterator[Client]:
        """A session of ``user`` with the operator's certificate."""
        me = self.parties["operator"]
        client = Client(self.server.endpoint, timeout=5)
        client.application_uri = me.uri
        client.set_user(user)
        client.set_password(self.password(user))
        await client.set_security(
            SecurityPolicyBasic256Sha256,
            me.certificate,
            me.private_key,
            server_certificate=str(me.certificate_of("controller")),
            mode=ua.MessageSecurityMode.SignAndEncrypt,
        )
        async with client:
            yield client

    async def namespace(self, client: Client) -> int:
        return int(await client.get_namespace_index(CONTROLLER_URI))


@asynccontextmanager
async def controller_site(
    root: Path, home: Path, definitions: Mapping[str, Definition]
) -> AsyncIterator[ControllerSite]:
    """A running server that has shown a few cycles."""
    audited: list[tuple[str, str, str, bool, str]] = []

    def audit(person: Person, *call: Any) -> None:
        audited.append((person.user, *call))

    config = load_security(root / "configs" / "security" / "default.yaml")
    assert isinstance(config, SecurityConfig)
    parties, secrets = ensure_pki(home), secrets_folder(home)
    ensure_secrets(secrets, config)
    security = server_security(parties["controller"], secrets, config, SystemClock())
    loop = Loop()
    server = OperatorServer(
        HardenedServer(security),
        caller,
        loop.config.supervision,
        TABLE,
        period_s=PERIOD,
        host="127.0.0.1",
        port=0,
        alarms=definitions,
        audit=audit,
    )
    site = ControllerSite(server, parties, secrets, definitions, loop, audited=audited)
    await server.start(site)
    try:
        for _ in range(12):
            await site.cycle()
            await asyncio.sleep(0)
        yield site
    finally:
        await server.stop()
