"""Sessions that know whom they belong to and what belongs to them; see `hil.hardening` for why.

References
----------
[1] OPC 10000-4, OPC UA Part 4: Services, 5.7 (sessions), 5.13 (monitored items), 7.22 (deadband).
"""

from __future__ import annotations

import logging
import math
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sized
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.server.internal_session import InternalSession

from hil.arguments import call_result, refused_arguments
from hil.monitored_items import SoundMonitoredItems
from hil.wire import status

__all__ = [
    "Caller",
    "Gatekeeper",
    "Trust",
    "WriteHandler",
    "activating_remote",
    "caller",
    "make_session",
]

log = logging.getLogger(__name__)

_GOOD = 0

# Of one session; a Read of all tags of a line has a few hundred items.
_MOST_OPERATIONS = 2_000
_MOST_SUBSCRIPTIONS = 16
_PUBLISHING_MS = (20.0, 10_000.0)


class Trust(StrEnum):
    """What a server thinks of a client's certificate."""

    TRUSTED = "trusted"
    UNKNOWN = "unknown"
    OUT_OF_DATE = "out of date"


_DISTRUST = {
    Trust.UNKNOWN: ua.StatusCodes.BadCertificateUntrusted,
    Trust.OUT_OF_DATE: ua.StatusCodes.BadCertificateTimeInvalid,
}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: session (unguessable to others, unique in a server's life), user and role."""

    session: str
    user: str
    role: str


WriteHandler = Callable[[Caller, list[ua.WriteValue]], Awaitable[list[ua.StatusCode]]]

_CALLER: ContextVar[Caller | None] = ContextVar("opcua_caller", default=None)
_REMOTE: ContextVar[str] = ContextVar("opcua_remote", default="")


def caller() -> Caller:
    """Who called the OPC UA method that runs now. Raises ``LookupError`` outside of one."""
    found = _CALLER.get()
    if found is None:
        raise LookupError("no OPC UA method call is running")
    return found


def activating_remote() -> str:
    """Address from which the session comes whose user is being checked; empty outside of that."""
    return _REMOTE.get()


class Gatekeeper(Protocol):
    """What a session asks its server.

    ``may_write`` says for ``UserAccessLevel`` whether a role may write a node; the handler of
    writes decides for itself. ``connections`` holds the session of each connection.
    """

    allow_none: bool
    trusts: Callable[[bytes], Trust]
    write_handler: WriteHandler
    may_write: Callable[[ua.NodeId, str], bool]
    released: Callable[[str], None]
    method_roles: dict[ua.NodeId, frozenset[str]]
    connections: dict[object, InternalSession]


class _Session(InternalSession):
    """A session that knows whom it belongs to and what belongs to it."""

    def __init__(self, gatekeeper: Gatekeeper, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._gatekeeper = gatekeeper
        self._certificate: bytes | None = None
        if self.external:
            self.iserver.unregister_external_session(self)
            token = secrets.token_bytes(32)
            self.auth_token = ua.NodeId(ua.ByteString(token), ua.Int16(0), ua.NodeIdType.ByteString)
            self.iserver.register_external_session(self)

    def as_caller(self) -> Caller:
        """Identity of the caller for the code behind the server."""
        role = getattr(self.user, "plant_role", "")
        return Caller(self.session_id.to_string(), self.user.name or "", role)

    @property
    def remote(self) -> str:
        """Address of the client."""
        peer: Any = self.name  # the library passes the socket's address as the name
        return str(peer[0] if isinstance(peer, tuple) else peer)

    async def create_session(
        self, params: ua.CreateSessionParameters, sockname: tuple[str, int] | None = None
    ) -> ua.CreateSessionResult:
        if self.external:
            await self._take_the_place()
            if not self._gatekeeper.allow_none:
                self._check_certificate(params.ClientCertificate)
        return await super().create_session(params, sockname)

    async def _take_the_place(self) -> None:
        """One session per connection: the library would keep those before it for ever."""
        before = self._gatekeeper.connections.get(self.name)
        self._gatekeeper.connections[self.name] = self
        if before is not None:
            await before.close_session(True)

    def _check_certificate(self, der: bytes | None) -> None:
        if not der:
            raise ServiceError(ua.StatusCodes.BadSecurityChecksFailed)
        trust = self._gatekeeper.trusts(der)
        if trust is not Trust.TRUSTED:
            raise ServiceError(_DISTRUST[trust])

    def activate_session(
        self, params: ua.ActivateSessionParameters, peer_certificate: bytes | None
    ) -> ua.ActivateSessionResult:
        """Check certificate, then password; a live session keeps its certificate and its user."""
        if peer_certificate or not self._gatekeeper.allow_none:
            self._check_certificate(peer_certificate)
        before = self.user if self.is_activated() else None
        if before is not None and peer_certificate != self._certificate:
            raise ServiceError(ua.StatusCodes.BadSecurityChecksFailed)
        token = _REMOTE.set(self.remote)
        try:
            result = super().activate_session(params, peer_certificate)
        finally:
            _REMOTE.reset(token)
        if before is not None and self.user.name != before.name:
            self.user = before
            raise ServiceError(ua.StatusCodes.BadIdentityChangeNotSupported)
        self._certificate = peer_certificate
        return result

    async def close_session(self, delete_subs: bool = True) -> None:
        """End the session; whoever cares for what it held is told."""
        await super().close_session(delete_subs)
        if self.external:
            if self._gatekeeper.connections.get(self.name) is self:
                del self._gatekeeper.connections[self.name]
            self._gatekeeper.released(self.session_id.to_string())

    def _bounded(self, operations: Sized | None) -> None:
        """One request must not keep the plant from its next scan."""
        if self.external and operations is not None and len(operations) > _MOST_OPERATIONS:
            raise ServiceError(ua.StatusCodes.BadTooManyOperations)

    # Attributes

    async def read(self, params: ua.ReadParameters) -> list[ua.DataValue]:
        self._bounded(params.NodesToRead)
        results = await super().read(params)
        if self.external:
            for index, item in enumerate(params.NodesToRead):
                results[index] = self._as_seen(item, results[index])
        return results

    def _as_seen(self, item: ua.ReadValueId, data: ua.DataValue) -> ua.DataValue:
        """No part of an array; access levels are those of this user's role."""
        if item.IndexRange:
            return ua.DataValue(StatusCode=status(ua.StatusCodes.BadIndexRangeInvalid))
        if data.Value is None or data.Value.Value is None:
            return data
        if item.AttributeId == ua.AttributeIds.UserAccessLevel:
            if self._gatekeeper.may_write(item.NodeId, self.as_caller().role):
                return data
            level = data.Value.Value & ~(1 << ua.AccessLevel.CurrentWrite)
            return ua.DataValue(ua.Variant(level, ua.VariantType.Byte))
        if item.AttributeId == ua.AttributeIds.UserExecutable:
            allowed = self._gatekeeper.method_roles.get(item.NodeId, frozenset())
            return ua.DataValue(ua.Variant(self.as_caller().role in allowed))
        return data

    async def write(self, params: ua.WriteParameters) -> list[ua.StatusCode]:
        if self.external:
            self._bounded(params.NodesToWrite)
            return await self._gatekeeper.write_handler(self.as_caller(), params.NodesToWrite)
        return await super().write(params)

    async def browse(self, params: ua.BrowseParameters) -> list[ua.BrowseResult]:
        self._bounded(params.NodesToBrowse)
        return await super().browse(params)

    async def translate_browsepaths_to_nodeids(
        self, params: list[ua.BrowsePath]
    ) -> list[ua.BrowsePathResult]:
        self._bounded(params)
        return await super().translate_browsepaths_to_nodeids(params)

    # Methods

    async def call(self, params: list[ua.CallMethodRequest]) -> list[ua.CallMethodResult]:
        """Call methods one by one; each learns who calls it, and is not called in vain."""
        self._bounded(params)
        token = _CALLER.set(self.as_caller())
        try:
            results: list[ua.CallMethodResult] = []
            for request in params:
                refused = self._refused_call(request)
                results += [refused] if refused else await super().call([request])
            return results
        finally:
            _CALLER.reset(token)

    def _refused_call(self, request: ua.CallMethodRequest) -> ua.CallMethodResult | None:
        """Why a call must not run: unknown method, role, number or types of arguments."""
        if self.aspace.get(request.MethodId) is None:
            return call_result(ua.StatusCodes.BadMethodInvalid)
        allowed = self._gatekeeper.method_roles.get(request.MethodId)
        if self.external and (allowed is None or self.as_caller().role not in allowed):
            log.warning("%s may not call %s", self.as_caller(), request.MethodId.to_string())
            return call_result(ua.StatusCodes.BadUserAccessDenied)
        return refused_arguments(self.aspace, request)

    # Subscriptions belong to the session that made them.

    def _owns(self, subscription: int) -> bool:
        found = self.subscription_service.subscriptions.get(int(subscription))
        return not self.external or (found is not None and found.session_id == self.session_id)

    def _own(self) -> list[int]:
        subscriptions = self.subscription_service.subscriptions
        return [i for i, s in subscriptions.items() if s.session_id == self.session_id]

    def _require_own(self, subscription: int) -> None:
        if not self._owns(subscription):
            raise ServiceError(ua.StatusCodes.BadSubscriptionIdInvalid)

    async def create_subscription(
        self,
        params: ua.CreateSubscriptionParameters,
        callback: Callable[..., Any],
        request_callback: Callable[..., Any] | None = None,
    ) -> ua.CreateSubscriptionResult:
        if self.external:
            if len(self._own()) >= _MOST_SUBSCRIPTIONS:
                raise ServiceError(ua.StatusCodes.BadTooManySubscriptions)
            params.RequestedPublishingInterval = _interval(params.RequestedPublishingInterval)
        result = await super().create_subscription(params, callback, request_callback)
        made = self.subscription_service.subscriptions[result.SubscriptionId]
        made.monitored_item_srv = SoundMonitoredItems(made, self.aspace)
        return result

    async def delete_subscriptions(self, ids: list[int]) -> list[ua.StatusCode]:
        mine = [i for i in ids if self._owns(i)]
        done = dict(zip(mine, await super().delete_subscriptions(mine), strict=True))
        unknown = status(ua.StatusCodes.BadSubscriptionIdInvalid)
        return [done.get(i, unknown) for i in ids]

    async def create_monitored_items(
        self, params: ua.CreateMonitoredItemsParameters
    ) -> list[ua.MonitoredItemCreateResult]:
        self._require_own(params.SubscriptionId)
        return await super().create_monitored_items(params)

    async def modify_monitored_items(
        self, params: ua.ModifyMonitoredItemsParameters
    ) -> list[ua.MonitoredItemModifyResult]:
        self._require_own(params.SubscriptionId)
        return await super().modify_monitored_items(params)

    async def delete_monitored_items(
        self, params: ua.DeleteMonitoredItemsParameters
    ) -> list[ua.StatusCode]:
        self._require_own(params.SubscriptionId)
        return await super().delete_monitored_items(params)

    async def set_monitoring_mode(
        self, params: ua.SetMonitoringModeParameters
    ) -> list[ua.StatusCode]:
        self._require_own(params.SubscriptionId)
        return await super().set_monitoring_mode(params)

    async def set_publishing_mode(
        self, params: ua.SetPublishingModeParameters
    ) -> list[ua.StatusCode]:
        for subscription in params.SubscriptionIds:
            self._require_own(subscription)
        return await super().set_publishing_mode(params)

    def modify_subscription(
        self, params: ua.ModifySubscriptionParameters
    ) -> ua.ModifySubscriptionResult:
        self._require_own(params.SubscriptionId)
        return super().modify_subscription(params)

    def publish(
        self, acks: Iterable[ua.SubscriptionAcknowledgement] | None = None
    ) -> tuple[int, list[ua.StatusCode]]:
        """Acknowledge notifications of own subscriptions; without any nothing is waited for."""
        if not self.external:
            return super().publish(acks)
        own = self._own()
        if not own:
            raise ServiceError(ua.StatusCodes.BadNoSubscription)
        results = []
        for ack in acks or ():
            mine = ack.SubscriptionId in own
            if mine:
                self.subscription_service.subscriptions[ack.SubscriptionId].publish(
                    [ack.SequenceNumber]
                )
            results.append(status(_GOOD if mine else ua.StatusCodes.BadSubscriptionIdInvalid))
        return len(own), results

    def republish(self, params: ua.RepublishParameters) -> ua.NotificationMessage:
        """A notification that is not acknowledged yet, as often as it is asked for."""
        self._require_own(params.SubscriptionId)
        subscription = self.subscription_service.subscriptions[params.SubscriptionId]
        held = subscription._not_acknowledged_results.get(params.RetransmitSequenceNumber)
        if held is None:
            raise ServiceError(ua.StatusCodes.BadMessageNotAvailable)
        message: ua.NotificationMessage = held.NotificationMessage
        return message

    async def transfer_subscriptions(
        self,
        params: ua.TransferSubscriptionsParameters,
        callback: Callable[..., Any] | None = None,
    ) -> list[ua.TransferResult]:
        if callback is None or not all(self._owns(i) for i in params.SubscriptionIds):
            code = status(ua.StatusCodes.BadSubscriptionIdInvalid)
            return [ua.TransferResult(StatusCode=code) for _ in params.SubscriptionIds]
        return await super().transfer_subscriptions(params, callback)


def make_session(gatekeeper: Gatekeeper, *args: Any, **kwargs: Any) -> InternalSession:
    """A session of a hardened server; arguments as for the library's."""
    return _Session(gatekeeper, *args, **kwargs)


def _interval(requested_ms: float) -> float:
    """Publishing interval that is granted [ms]."""
    least, most = _PUBLISHING_MS
    return min(max(requested_ms, least), most) if math.isfinite(requested_ms) else most
