"""Sessions that know whom they belong to and what belongs to them; see `hil.hardening` for why.

References
----------
[1] OPC 10000-4, OPC UA Part 4: Services, 5.7 (sessions), 5.13 (monitored items), 7.22 (deadband).
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.server.internal_session import InternalSession
from asyncua.server.monitored_item_service import MonitoredItemService

from hil.wire import status

__all__ = ["Caller", "Gatekeeper", "WriteHandler", "caller", "make_session"]

_LARGEST_BUILT_IN_TYPE = 25


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: session (unguessable to others, unique in a server's life), user and role."""

    session: str
    user: str
    role: str


WriteHandler = Callable[[Caller, list[ua.WriteValue]], Awaitable[list[ua.StatusCode]]]

_CALLER: ContextVar[Caller | None] = ContextVar("opcua_caller", default=None)


def caller() -> Caller:
    """Who called the OPC UA method that runs now. Raises ``LookupError`` outside of one."""
    found = _CALLER.get()
    if found is None:
        raise LookupError("no OPC UA method call is running")
    return found


class Gatekeeper(Protocol):
    """What a session asks its server."""

    allow_none: bool
    trusts: Callable[[bytes], bool]
    write_handler: WriteHandler
    released: Callable[[str], None]
    method_roles: dict[ua.NodeId, frozenset[str]]


class _MonitoredItems(MonitoredItemService):
    """Deadband against the last reported value [1, 7.22.2]; queue size 0 is 1."""

    def __init__(self, isub: Any, aspace: Any) -> None:
        super().__init__(isub, aspace)
        self._reported: dict[int, ua.DataValue] = {}

    def _revise_queue_size(self, requested: int) -> int:
        return super()._revise_queue_size(max(1, int(requested)))

    async def _create_data_change_monitored_item(
        self, params: ua.MonitoredItemCreateRequest
    ) -> ua.MonitoredItemCreateResult:
        wanted = params.RequestedParameters.Filter
        if getattr(wanted, "DeadbandType", None) == ua.DeadbandType.Percent:
            code = status(ua.StatusCodes.BadMonitoredItemFilterUnsupported)
            return ua.MonitoredItemCreateResult(StatusCode=code)
        return await super()._create_data_change_monitored_item(params)

    def _delete_monitored_items(self, mid: int) -> ua.StatusCode:
        self._reported.pop(mid, None)
        return super()._delete_monitored_items(mid)

    async def datachange_callback(
        self, handle: int, value: ua.DataValue, error: ua.StatusCode | None = None
    ) -> None:
        if error:
            await self.trigger_statuschange(error)
            return
        mid = self._monitored_datachange[handle]
        item = self._monitored_items[mid]
        if item.mode == ua.MonitoringMode.Disabled:
            return
        values = item.mvalue
        values.current_dvalue = value
        values.old_dvalue = self._reported.get(mid)
        trigger = item.filter.Trigger if item.filter else ua.DataChangeTrigger.StatusValue
        if not self._is_data_changed(values, trigger):
            return
        old = values.old_dvalue
        same_status = old is not None and old.StatusCode == value.StatusCode
        if same_status and item.filter and not self._is_deadband_exceeded(values, item.filter):
            return
        self._reported[mid] = value
        note = ua.MonitoredItemNotification(ClientHandle=item.client_handle, Value=value)
        await self.isub.enqueue_datachange_event(mid, note, item.queue_size)


class _Session(InternalSession):
    """A session that knows whom it belongs to and what belongs to it."""

    def __init__(self, gatekeeper: Gatekeeper, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._gatekeeper = gatekeeper
        if self.external:
            self.iserver.unregister_external_session(self)
            token = secrets.token_bytes(32)
            self.auth_token = ua.NodeId(ua.ByteString(token), ua.Int16(0), ua.NodeIdType.ByteString)
            self.iserver.register_external_session(self)

    def as_caller(self) -> Caller:
        """Identity of the caller for the code behind the server."""
        role = getattr(self.user, "plant_role", "")
        return Caller(self.session_id.to_string(), self.user.name or "", role)

    async def create_session(
        self, params: ua.CreateSessionParameters, sockname: tuple[str, int] | None = None
    ) -> ua.CreateSessionResult:
        if self.external and not self._gatekeeper.allow_none:
            self._check_certificate(params.ClientCertificate)
        return await super().create_session(params, sockname)

    def _check_certificate(self, der: bytes | None) -> None:
        if not der:
            raise ServiceError(ua.StatusCodes.BadSecurityChecksFailed)
        if not self._gatekeeper.trusts(der):
            raise ServiceError(ua.StatusCodes.BadCertificateUntrusted)

    def activate_session(
        self, params: ua.ActivateSessionParameters, peer_certificate: bytes | None
    ) -> ua.ActivateSessionResult:
        if peer_certificate or not self._gatekeeper.allow_none:
            self._check_certificate(peer_certificate)
        before = self.user if self.is_activated() else None
        result = super().activate_session(params, peer_certificate)
        if before is not None and self.user.name != before.name:
            self.user = before
            raise ServiceError(ua.StatusCodes.BadIdentityChangeNotSupported)
        return result

    async def close_session(self, delete_subs: bool = True) -> None:
        await super().close_session(delete_subs)
        if self.external:
            self._gatekeeper.released(self.session_id.to_string())

    async def read(self, params: ua.ReadParameters) -> list[ua.DataValue]:
        results = await super().read(params)
        if self.external:
            for index, item in enumerate(params.NodesToRead):
                if item.IndexRange:
                    code = status(ua.StatusCodes.BadIndexRangeInvalid)
                    results[index] = ua.DataValue(StatusCode=code)
        return results

    async def write(self, params: ua.WriteParameters) -> list[ua.StatusCode]:
        if self.external:
            return await self._gatekeeper.write_handler(self.as_caller(), params.NodesToWrite)
        return await super().write(params)

    async def call(self, params: list[ua.CallMethodRequest]) -> list[ua.CallMethodResult]:
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
        codes = ua.StatusCodes
        node = self.aspace.get(request.MethodId)
        if node is None:
            return _call_result(codes.BadMethodInvalid)
        allowed = self._gatekeeper.method_roles.get(request.MethodId)
        if self.external and (allowed is None or self.as_caller().role not in allowed):
            return _call_result(codes.BadUserAccessDenied)
        got, wanted = request.InputArguments or [], _input_arguments(self.aspace, node)
        if len(got) != len(wanted):
            few = len(got) < len(wanted)
            return _call_result(codes.BadArgumentsMissing if few else codes.BadTooManyArguments)
        verdicts = [_argument_status(g, w) for g, w in zip(got, wanted, strict=True)]
        if all(v.is_good() for v in verdicts):
            return None
        result = _call_result(codes.BadInvalidArgument)
        result.InputArgumentResults = verdicts
        return result

    # Subscriptions belong to the session that made them.

    def _owns(self, subscription: int) -> bool:
        found = self.subscription_service.subscriptions.get(int(subscription))
        return not self.external or (found is not None and found.session_id == self.session_id)

    def _require_own(self, subscription: int) -> None:
        if not self._owns(subscription):
            raise ServiceError(ua.StatusCodes.BadSubscriptionIdInvalid)

    async def create_subscription(
        self,
        params: ua.CreateSubscriptionParameters,
        callback: Callable[..., Any],
        request_callback: Callable[..., Any] | None = None,
    ) -> ua.CreateSubscriptionResult:
        result = await super().create_subscription(params, callback, request_callback)
        made = self.subscription_service.subscriptions[result.SubscriptionId]
        made.monitored_item_srv = _MonitoredItems(made, self.aspace)
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
        return super().publish([a for a in acks or [] if self._owns(a.SubscriptionId)])

    def republish(self, params: ua.RepublishParameters) -> ua.NotificationMessage:
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


def _call_result(code: int) -> ua.CallMethodResult:
    return ua.CallMethodResult(StatusCode=status(code))


def _input_arguments(aspace: Any, node: Any) -> list[ua.Argument]:
    for reference in node.references:
        if reference.IsForward and reference.BrowseName.Name == "InputArguments":
            held = aspace[reference.NodeId].attributes[ua.AttributeIds.Value].value
            return list(held.Value.Value or [])
    return []


def _argument_status(got: ua.Variant, wanted: ua.Argument) -> ua.StatusCode:
    number = wanted.DataType.Identifier
    built_in = wanted.DataType.NamespaceIndex == 0 and number <= _LARGEST_BUILT_IN_TYPE
    if built_in and (got.VariantType.value != number or got.is_array or got.Value is None):
        return status(ua.StatusCodes.BadTypeMismatch)
    if isinstance(got.Value, float) and not math.isfinite(got.Value):
        return status(ua.StatusCodes.BadOutOfRange)
    return ua.StatusCode()
