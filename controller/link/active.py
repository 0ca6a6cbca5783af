"""What a standby sees of the active controller, on that controller's own OPC UA server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from asyncua import Client, ua

from controller.link.errors import LinkLost
from controller.link.identity import Credentials
from controller.link.server_values import TARGET_UNITS
from controller.link.session import close_client, open_client, words
from controller.link.wire import string_id
from plant_models.signals import CONTROLLER_URI, Clock
from plant_models.units import to_si

__all__ = ["ActiveLink", "ActiveView"]

_CONNECTED = "connected"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveView:
    """The active controller as it shows itself: mode, state of its link, cycle, targets [SI]."""

    mode: str
    link: str
    cycle: int
    targets: Mapping[str, float] = field(default_factory=dict)

    @property
    def connected(self) -> bool:
        """Whether it has its plant."""
        return self.link == _CONNECTED


class ActiveLink:
    """Reads the active controller's server; connects anew whenever it must."""

    def __init__(
        self, endpoint: str, credentials: Credentials, timeout_s: float, clock: Clock
    ) -> None:
        self.endpoint = endpoint
        self._credentials, self._timeout_s, self._clock = credentials, timeout_s, clock
        self._client: Client | None = None
        self._nodes: list[ua.NodeId] = []

    async def look(self) -> ActiveView:
        """One Read, after connecting if need be. Raises `LinkError`."""
        if self._client is None:
            await self._connect()
        try:
            return await self._read()
        except LinkLost:
            await self.drop()
            raise

    async def _connect(self) -> None:
        client = await open_client(self.endpoint, self._credentials, self._timeout_s, self._clock)
        try:
            namespace = await client.get_namespace_index(CONTROLLER_URI)
        except (OSError, TimeoutError, ValueError, ua.UaError) as error:
            await close_client(client)
            raise LinkLost(f"{self.endpoint}: {words(error)}") from error
        names = ["Mode", "Link", "Cycle", *(f"Targets/{cv.value}" for cv in TARGET_UNITS)]
        self._nodes = [string_id(f"Controller/{n}", namespace) for n in names]
        self._client = client

    async def _read(self) -> ActiveView:
        if self._client is None:
            raise LinkLost("there is no connection")
        try:
            data = await self._client.uaclient.read_attributes(self._nodes, ua.AttributeIds.Value)
        except (OSError, TimeoutError, ua.UaError) as error:
            raise LinkLost(f"{self.endpoint}: {words(error)}") from error
        values = [d.Value.Value if d.Value is not None else None for d in data]
        mode, link, cycle, *targets = values
        if not isinstance(cycle, int):
            raise LinkLost(f"{self.endpoint} shows no cycle: is it a controller?")
        shown = zip(TARGET_UNITS.items(), targets, strict=True)
        return ActiveView(
            mode=str(mode),
            link=str(link),
            cycle=cycle,
            targets={
                cv.value: to_si(float(v), unit) for (cv, unit), v in shown if isinstance(v, float)
            },
        )

    async def drop(self) -> None:
        """Throw the connection away."""
        client, self._client = self._client, None
        if client is not None:
            await close_client(client)
