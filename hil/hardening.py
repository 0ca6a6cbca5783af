"""What asyncua 2.1.0 leaves open in a server, closed by subclassing.

Measured with asyncua 2.1.0; verify again at every upgrade:

- session tokens are counters, so a stranger can take a session over: they are random here, and a
  live session cannot change its user;
- any session may delete or feed on another's subscriptions: ownership is checked;
- ``Republish`` answers an empty message for what it does not hold, which sends its own client
  into an endless loop: it is ``BadMessageNotAvailable`` here;
- the deadband compares with the last sample instead of the last report, so a slow ramp is never
  reported; percent deadbands always report (refused here); queue size 0 means 10 000 (1 here);
- methods neither check their arguments nor learn who calls;
- an administrator ignores access levels and may delete nodes; ``IndexRange`` is ignored;
- a channel without security is accepted for sessions even where no such endpoint is offered, and
  the certificate of the channel is never compared with a trust list: both are checked when a
  session is activated, which nobody can go around;
- limits are far too generous for a plant.

References
----------
[1] OPC 10000-4, OPC UA Part 4: Services, 5.7 (sessions), 5.13 (monitored items), 7.22 (deadband).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asyncua import Server, ua
from asyncua.common.connection import TransportLimits
from asyncua.crypto.permission_rules import USER_TYPES, SimpleRoleRuleset, User, UserRole
from asyncua.server.internal_server import InternalServer
from asyncua.server.internal_session import InternalSession
from asyncua.server.user_managers import UserManager

from hil.sessions import Caller, WriteHandler, caller, make_session
from hil.wire import numeric_id, status

__all__ = ["Caller", "HardenedServer", "ServerSecurity", "WriteHandler", "caller"]

log = logging.getLogger(__name__)

_NOBODY = User(role=UserRole.Anonymous)
_BUFFER = 65_535
_LARGEST_MESSAGE = 4 * 1024 * 1024


Released = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSecurity:
    """What a server needs to be sure whom it talks to.

    ``authenticate`` maps user name and password to a role, or None; ``trusts`` says whether a
    client certificate (DER) is trusted. ``allow_none`` adds an endpoint without any security.
    """

    certificate: Path
    private_key: Path
    authenticate: Callable[[str, str], str | None]
    trusts: Callable[[bytes], bool]
    allow_none: bool = False


class _RoleUser(User):
    """A user with a role of the plant, next to the library's coarse one."""

    def __init__(self, name: str, plant_role: str) -> None:
        super().__init__(role=UserRole.User, name=name)
        self.plant_role = plant_role


class _Users(UserManager):
    """Asks the injected function; nobody is let in without a password."""

    def __init__(self, authenticate: Callable[[str, str], str | None]) -> None:
        self._authenticate = authenticate

    def get_user(
        self,
        iserver: InternalServer,
        username: str | None = None,
        password: str | None = None,
        certificate: Any = None,
    ) -> User | None:
        if not username or not password:
            return None
        role = self._authenticate(username, password)
        if role is None:
            log.warning("refused: wrong user name or password (user %r)", username)
            return None
        return _RoleUser(username, role)


class _Rules(SimpleRoleRuleset):
    """Everybody with a password may use the services; nobody edits the address space."""

    def __init__(self) -> None:
        services = {numeric_id(number) for number in USER_TYPES}
        nothing: set[ua.NodeId] = set()
        self._permission_dict = {
            UserRole.Admin: services,
            UserRole.User: services,
            UserRole.Anonymous: nothing,
        }


async def _read_only(_: Caller, items: list[ua.WriteValue]) -> list[ua.StatusCode]:
    return [status(ua.StatusCodes.BadNotWritable) for _ in items]


class _InternalServer(InternalServer):
    """Own sessions, low limits, and where writes, releases and roles are looked up."""

    def __init__(self, security: ServerSecurity) -> None:
        super().__init__(user_manager=_Users(security.authenticate))
        self.trusts = security.trusts
        self.allow_none = security.allow_none
        self.write_handler: WriteHandler = _read_only
        self.released: Released = lambda session: None
        self.method_roles: dict[ua.NodeId, frozenset[str]] = {}
        self.allow_remote_admin = False
        tokens: tuple[Any, ...] = (ua.UserNameIdentityToken,)
        self.supported_tokens = tokens
        self.max_session_timeout_ms = 60_000.0
        self.max_connections = 32
        self.max_subscriptions = 64
        self.max_monitored_item_queue_size = 100
        self.max_pending_activation_seconds = 5.0
        self.max_pending_messages_per_connection = 100
        self.max_lifetime_count = 3_000
        self.max_keep_alive_count = 1_000

    def create_session(
        self, name: str, user: User = _NOBODY, external: bool = False
    ) -> InternalSession:
        return make_session(
            self, self, self.aspace, self.subscription_service, name, user=user, external=external
        )


class HardenedServer(Server):
    """An OPC UA server with the above; user name and password only, on encrypted channels."""

    iserver: _InternalServer

    def __init__(self, security: ServerSecurity) -> None:
        super().__init__(iserver=_InternalServer(security))
        self._security = security
        self.limits = TransportLimits(
            max_recv_buffer=_BUFFER,
            max_send_buffer=_BUFFER,
            max_chunk_count=math.ceil(_LARGEST_MESSAGE / _BUFFER),
            max_message_size=_LARGEST_MESSAGE,
        )

    async def prepare(self, *, uri: str, name: str, host: str, port: int, path: str) -> int:
        """Load the standard address space and the keys; return the index of our namespace."""
        await self.init()
        await self.set_application_uri(uri)
        self.set_server_name(name)
        self.set_endpoint(f"opc.tcp://{host}:{port}/{path}")
        policies = [ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt]
        if self._security.allow_none:
            log.warning("an endpoint without security is open on %s: for tests only", host)
            policies.append(ua.SecurityPolicyType.NoSecurity)
        self.set_security_policy(policies, permission_ruleset=_Rules())
        await self.load_certificate(self._security.certificate)
        await self.load_private_key(self._security.private_key)
        return await self.register_namespace(uri)

    def on_write(self, handler: WriteHandler) -> None:
        """Every Write call of a client goes, whole, to ``handler``."""
        self.iserver.write_handler = handler

    def on_release(self, handler: Released) -> None:
        """``handler`` learns which session has ended."""
        self.iserver.released = handler

    def allow_call(self, method: ua.NodeId, roles: Iterable[str]) -> None:
        """Let users in ``roles`` call ``method``; without this nobody may."""
        self.iserver.method_roles[method] = frozenset(roles)

    @property
    def port(self) -> int:
        """The port listened on (the one asked for may have been 0)."""
        if self.bserver is None:
            raise RuntimeError("the server has not been started")
        return int(self.bserver.port)
