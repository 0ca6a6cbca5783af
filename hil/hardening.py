"""What asyncua 2.1.0 leaves open in a server, closed by subclassing.

Measured with asyncua 2.1.0; `tests/hil/test_hardening.py` shows each on the library as it is and
closed here, so that an upgrade tells what is still needed:

- session tokens are counters, so a stranger can take a session over: they are random here, and a
  live session cannot change its user or its certificate;
- any session may delete or feed on another's subscriptions: ownership is checked;
- ``Republish`` answers an empty message for what it does not hold, which sends its own client
  into an endless loop: it is ``BadMessageNotAvailable`` here;
- the deadband compares with the last sample instead of the last report, so a slow ramp is never
  reported; percent deadbands always report (refused here); queue size 0 means 10 000 (1 here); a
  filter that does not fit its item raises in whoever publishes (refused here);
- methods neither check their arguments nor learn who calls;
- an administrator ignores access levels and may delete nodes; ``IndexRange`` is ignored;
- a channel without security is accepted for sessions even where no such endpoint is offered, and
  the certificate of the channel is never compared with a trust list: both are checked when a
  session is activated, which nobody can go around;
- anybody may register servers that others then find, without a session: nobody may here;
- a connection may make sessions without end, a publishing interval of 0 keeps the server busy;
- limits are far too generous for a plant;
- keys are read once: here new files count for the connections after them (`HardenedServer.renew`).

References
----------
[1] OPC 10000-4, OPC UA Part 4: Services, 5.7 (sessions), 5.13 (monitored items), 7.22 (deadband).
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asyncua import Server, ua
from asyncua.common.connection import TransportLimits
from asyncua.common.utils import ServiceError
from asyncua.crypto.permission_rules import USER_TYPES, SimpleRoleRuleset, User, UserRole
from asyncua.crypto.uacrypto import load_certificate, load_private_key
from asyncua.server.internal_server import InternalServer
from asyncua.server.internal_session import InternalSession
from asyncua.server.user_managers import UserManager

from hil.sessions import (
    Caller,
    Trust,
    WriteHandler,
    activating_remote,
    caller,
    make_session,
)
from hil.wire import numeric_id, status

__all__ = ["Caller", "HardenedServer", "ServerSecurity", "Trust", "WriteHandler", "caller"]

log = logging.getLogger(__name__)

_NOBODY = User(role=UserRole.Anonymous)
_RSA_1_5 = "http://www.w3.org/2001/04/xmlenc#rsa-1_5"
_BUFFER = 65_535
_LARGEST_MESSAGE = 4 * 1024 * 1024


Released = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSecurity:
    """What a server needs to be sure whom it talks to.

    ``authenticate`` maps user name, password and the address of the client to a role, or None;
    ``trusts`` judges a client's certificate (DER). ``allow_none`` adds an endpoint without any
    security. Every ``look_again_s`` the key files are looked at for newer ones.
    """

    certificate: Path
    private_key: Path
    authenticate: Callable[[str, str, str], str | None]
    trusts: Callable[[bytes], Trust]
    allow_none: bool = False
    look_again_s: float = 5.0


class _RoleUser(User):
    """A user with a role of the plant, next to the library's coarse one."""

    def __init__(self, name: str, plant_role: str) -> None:
        super().__init__(role=UserRole.User, name=name)
        self.plant_role = plant_role


class _Users(UserManager):
    """Asks the injected function; nobody is let in without a password."""

    def __init__(self, authenticate: Callable[[str, str, str], str | None]) -> None:
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
        role = self._authenticate(username, password, activating_remote())
        if role is None:
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


def _nobody_writes(node: ua.NodeId, role: str) -> bool:
    return False


async def _read_only(_: Caller, items: list[ua.WriteValue]) -> list[ua.StatusCode]:
    return [status(ua.StatusCodes.BadNotWritable) for _ in items]


class _InternalServer(InternalServer):
    """Own sessions, low limits, and where writes, releases and roles are looked up."""

    def __init__(self, security: ServerSecurity) -> None:
        super().__init__(user_manager=_Users(security.authenticate))
        self.trusts = security.trusts
        self.allow_none = security.allow_none
        self.write_handler: WriteHandler = _read_only
        self.may_write: Callable[[ua.NodeId, str], bool] = _nobody_writes
        self.connections: dict[object, InternalSession] = {}
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

    def register_server(self, server: Any, conf: Any = None) -> None:
        """Refused: asked without a session, it would tell others where to find what servers."""
        raise ServiceError(ua.StatusCodes.BadServiceUnsupported)

    def register_server2(self, params: Any) -> Any:
        """Refused, as `register_server`."""
        raise ServiceError(ua.StatusCodes.BadServiceUnsupported)

    def decrypt_user_token(self, isession: Any, token: ua.UserNameIdentityToken) -> tuple[str, str]:
        """User name and password; RSA 1.5 padding, which can be probed, is refused."""
        if token.EncryptionAlgorithm == _RSA_1_5:
            raise ServiceError(ua.StatusCodes.BadIdentityTokenRejected)
        return super().decrypt_user_token(isession, token)


class HardenedServer(Server):
    """An OPC UA server with the above; user name and password only, on encrypted channels."""

    iserver: _InternalServer

    def __init__(self, security: ServerSecurity) -> None:
        super().__init__(iserver=_InternalServer(security))
        self._security = security
        self._files: tuple[float, float] = (0.0, 0.0)
        self._looking: asyncio.Task[None] | None = None
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
        self._files = self._changed()
        await self.load_certificate(self._security.certificate)
        await self.load_private_key(self._security.private_key)
        return await self.register_namespace(uri)

    async def start(self) -> None:
        """Listen, and look now and then for new keys."""
        await super().start()
        self._looking = asyncio.create_task(self._look())

    async def stop(self) -> None:
        """Stop listening."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking})
        await super().stop()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(self._security.look_again_s)
            try:
                await self.renew()
            except (OSError, TypeError, ValueError, ua.UaError) as error:
                log.error("the new keys cannot be used, the old ones stay: %s", error)

    def _changed(self) -> tuple[float, float]:
        files = (self._security.certificate, self._security.private_key)
        certificate, key = (f.stat().st_mtime for f in files)
        return certificate, key

    async def renew(self) -> bool:
        """Use the key files for the connections to come if they are newer than those in use.

        Connections that exist go on with the keys they were made with. Files that do not belong
        together (one of them is still being replaced) are left for the next time.
        """
        files = self._changed()
        if files == self._files:
            return False
        certificate = await load_certificate(self._security.certificate)
        key: Any = await load_private_key(self._security.private_key)
        if certificate.public_key() != key.public_key():
            log.warning("certificate and key do not belong together yet: %s", files)
            return False
        self.iserver.certificate, self.iserver.private_key = certificate, key
        self._policies.clear()
        self.iserver.endpoints.clear()
        await self._setup_server_nodes()
        self._files = files
        log.info(
            "new certificate, valid until %s, for connections from now on",
            certificate.not_valid_after_utc,
        )
        return True

    def on_write(
        self, handler: WriteHandler, may_write: Callable[[ua.NodeId, str], bool] | None = None
    ) -> None:
        """Every Write call of a client goes, whole, to ``handler``.

        ``may_write`` says what a role may write, for those who ask for access levels.
        """
        self.iserver.write_handler = handler
        if may_write is not None:
            self.iserver.may_write = may_write

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
