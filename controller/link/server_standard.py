"""The standard's own methods for alarms, as requests to the controller like our own methods.

They are called on a condition (or, for shelving, on its ``ShelvingState``) with the method's node
of the type, which instances refer to. User and role are those of the session, the comment is the
reason. Shelving without a comment, as the older methods have it, takes as reason what the same user
has just said of the alarm with ``AddComment``. What the controller answers becomes a status code.

References
----------
[1] OPC 10000-9, OPC UA Part 9: Alarms and Conditions, 5.5.6 (comment), 5.5.7 (refresh), 5.7.3
    (acknowledge), 5.8.10 and 5.8.17 (service, shelving), 5.13 (status codes).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol

from asyncua import ua
from asyncua.server.internal_server import InternalServer

from controller.link.server_conditions import Conditions
from controller.link.server_desk import LONGEST_TEXT, Desk, Person
from controller.link.server_events import AlarmEvents
from controller.link.server_methods import METHODS
from controller.link.wire import numeric_id, status
from controller.supervision.roles import Action, allowed
from controller.supervision_config import SupervisionConfig

__all__ = ["COMMENT_HOLDS_S", "NOT_FOR_ANYBODY", "STANDARD_METHODS", "StandardMethods"]

COMMENT_HOLDS_S = 60.0

# Mandatory in the type, but a condition is always enabled here and shelving always has an end.
NOT_FOR_ANYBODY: tuple[str, ...] = (
    "ConditionType_Enable",
    "ConditionType_Disable",
    "AlarmConditionType_ShelvingState_OneShotShelve",
    "ShelvedStateMachineType_OneShotShelve",
)

STANDARD_METHODS: tuple[tuple[str, str, Action], ...] = (
    ("ConditionType_ConditionRefresh", "refresh", Action.VIEW),
    ("ConditionType_ConditionRefresh2", "refresh", Action.VIEW),
    ("ConditionType_AddComment", "comment", Action.ACKNOWLEDGE),
    ("AcknowledgeableConditionType_Acknowledge", "acknowledge", Action.ACKNOWLEDGE),
    ("AlarmConditionType_ShelvingState_TimedShelve", "shelve", Action.SHELVE),
    ("AlarmConditionType_ShelvingState_Unshelve", "unshelve", Action.SHELVE),
    ("ShelvedStateMachineType_TimedShelve", "shelve", Action.SHELVE),
    ("ShelvedStateMachineType_TimedShelve2", "shelve", Action.SHELVE),
    ("ShelvedStateMachineType_Unshelve", "unshelve", Action.SHELVE),
    ("ShelvedStateMachineType_Unshelve2", "unshelve", Action.SHELVE),
    ("AlarmConditionType_RemoveFromService", "remove", Action.OUT_OF_SERVICE),
    ("AlarmConditionType_RemoveFromService2", "remove", Action.OUT_OF_SERVICE),
    ("AlarmConditionType_PlaceInService", "place", Action.OUT_OF_SERVICE),
    ("AlarmConditionType_PlaceInService2", "place", Action.OUT_OF_SERVICE),
)
"""Name of the method in the standard's address space, what carries it out here, and who may."""

_BY_NAME = {m.name: m for m in METHODS}
_MS_PER_MINUTE = 60_000.0


class MethodServer(Protocol):
    """What this module needs of a server."""

    @property
    def iserver(self) -> InternalServer:
        """The library's own server, with its address space."""
        ...

    def allow_call(self, method: ua.NodeId, roles: Iterable[str]) -> None:
        """Let users in ``roles`` call ``method``."""
        ...


Answer = ua.StatusCode | ua.CallMethodResult


class _Refused(Exception):
    """Why a call is not put to the controller."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer)
        self.answer = answer


class StandardMethods:
    """Carries out the standard's methods.

    Parameters
    ----------
    server
        The server, prepared.
    desk
        Where they become requests.
    conditions, events
        The alarms.
    caller
        Who calls the method that runs now.
    config
        Roles, length of a reason, longest shelving.
    """

    def __init__(
        self,
        server: MethodServer,
        desk: Desk,
        conditions: Conditions,
        events: AlarmEvents,
        caller: Callable[[], Person],
        config: SupervisionConfig,
    ) -> None:
        self._server, self._desk, self._caller, self._config = server, desk, caller, config
        self._conditions, self._events = conditions, events

    def install(self) -> None:
        """Put them into the address space, for whom they are."""
        calls: dict[str, Callable[..., Awaitable[Answer]]] = {
            "refresh": self._refresh,
            "comment": self._comment,
            "acknowledge": self._acknowledge,
            "shelve": self._shelve,
            "unshelve": self._unshelve,
            "remove": self._remove,
            "place": self._place,
        }
        for name, call, action in STANDARD_METHODS:
            node = _standard(name)
            self._server.iserver.aspace.add_method_callback(node, self._answered(name, calls[call]))
            self._server.allow_call(node, allowed(action, self._config))
        for name in NOT_FOR_ANYBODY:
            self._deny(name, ua.AttributeIds.Executable)
        self._deny("Server_Auditing", ua.AttributeIds.Value)

    def _deny(self, name: str, attribute: ua.AttributeIds) -> None:
        """Set an attribute of the standard's address space to false."""
        held = self._server.iserver.aspace[_standard(name)].attributes[attribute]
        held.value = ua.DataValue(ua.Variant(False, ua.VariantType.Boolean))

    def _answered(
        self, name: str, call: Callable[..., Awaitable[Answer]]
    ) -> Callable[..., Awaitable[Answer]]:
        async def called(node: ua.NodeId, *given: ua.Variant) -> Answer:
            try:
                return await call(node, *given)
            except _Refused as refused:
                code = refused.answer
                if isinstance(code, ua.CallMethodResult):
                    code = code.StatusCode
                words = [g.Value.Text for g in given if isinstance(g.Value, ua.LocalizedText)]
                what = f"{name.rpartition('_')[2]} on {node.to_string()}"
                self._desk.refused(what, "; ".join(w for w in words if w), code.name)
                return refused.answer

        return called

    # What each of them does

    async def _refresh(
        self, node: ua.NodeId, subscription: ua.Variant, item: ua.Variant | None = None
    ) -> Answer:
        found = self._server.iserver.subscription_service.subscriptions.get(subscription.Value)
        if found is None or found.session_id.to_string() != self._caller().session:
            return status(ua.StatusCodes.BadSubscriptionIdInvalid)
        if item is not None and item.Value not in found.monitored_item_srv._monitored_items:
            return status(ua.StatusCodes.BadMonitoredItemIdInvalid)
        await self._events.refresh(subscription.Value, None if item is None else item.Value)
        return status(ua.StatusCodes.Good)

    async def _comment(self, node: ua.NodeId, event: ua.Variant, comment: ua.Variant) -> Answer:
        alarm = self._alarm(node)
        self._require_current(alarm, event)
        return await self._ask("Comment", alarm, comment, position=1)

    async def _acknowledge(self, node: ua.NodeId, event: ua.Variant, comment: ua.Variant) -> Answer:
        alarm = self._alarm(node)
        self._require_current(alarm, event)
        otherwise = 0
        if not self._conditions.alarm(alarm).unacknowledged:
            otherwise = ua.StatusCodes.BadConditionBranchAlreadyAcked
        return await self._ask("Acknowledge", alarm, comment, position=1, otherwise=otherwise)

    async def _shelve(
        self, node: ua.NodeId, duration: ua.Variant, comment: ua.Variant | None = None
    ) -> Answer:
        alarm = self._alarm(node)
        if duration.VariantType is not ua.VariantType.Double or duration.is_array:
            raise _Refused(_invalid(0, ua.StatusCodes.BadTypeMismatch))
        if self._conditions.alarm(alarm).shelved_until is not None:
            raise _Refused(status(ua.StatusCodes.BadConditionAlreadyShelved))
        minutes = float(duration.Value) / _MS_PER_MINUTE
        otherwise = 0
        if not 0.0 < minutes <= self._config.alarms.shelve_max_minutes:
            otherwise = ua.StatusCodes.BadShelvingTimeOutOfRange
        return await self._ask("Shelve", alarm, comment, minutes, position=1, otherwise=otherwise)

    async def _unshelve(self, node: ua.NodeId, comment: ua.Variant | None = None) -> Answer:
        alarm = self._alarm(node)
        otherwise = 0
        if self._conditions.alarm(alarm).shelved_until is None:
            otherwise = ua.StatusCodes.BadConditionNotShelved
        return await self._ask("Unshelve", alarm, comment, otherwise=otherwise)

    async def _remove(self, node: ua.NodeId, comment: ua.Variant | None = None) -> Answer:
        return await self._ask("TakeOutOfService", self._alarm(node), comment)

    async def _place(self, node: ua.NodeId, comment: ua.Variant | None = None) -> Answer:
        return await self._ask("ReturnToService", self._alarm(node), comment)

    # The way to the controller

    def _alarm(self, node: ua.NodeId) -> str:
        alarm = self._conditions.name_of(node)
        if alarm is None:
            raise _Refused(status(ua.StatusCodes.BadMethodInvalid))
        return alarm

    def _require_current(self, alarm: str, event: ua.Variant) -> None:
        """With an event of an earlier occurrence nobody has seen the present one."""
        if not self._conditions.is_current(alarm, event.Value):
            raise _Refused(status(ua.StatusCodes.BadEventIdUnknown))

    async def _ask(
        self,
        method: str,
        alarm: str,
        comment: ua.Variant | None,
        *given: Any,
        position: int = 0,
        otherwise: int = 0,
    ) -> Answer:
        """Ask the controller; if it refuses, say ``otherwise``, or that no reason was given."""
        reason = self._just_said(alarm) if comment is None else comment.Value.Text or ""
        accepted, _ = await self._desk.call(_BY_NAME[method], alarm, *given, reason)
        if accepted:
            return status(ua.StatusCodes.Good)
        if otherwise:
            return status(otherwise)
        if comment is not None and not self._is_reason(reason):
            return _invalid(position, ua.StatusCodes.BadOutOfRange)
        return status(ua.StatusCodes.BadInvalidState)

    def _just_said(self, alarm: str) -> str:
        said = self._conditions.said(alarm)
        age = self._conditions.time - said.time
        if said.user != self._caller().user or not 0.0 <= age <= COMMENT_HOLDS_S:
            return ""
        return said.text

    def _is_reason(self, text: str) -> bool:
        least = self._config.reason_min_characters
        return len(text.strip()) >= least and len(text) <= LONGEST_TEXT and text.isprintable()


def _standard(name: str) -> ua.NodeId:
    return numeric_id(getattr(ua.ObjectIds, name))


def _invalid(position: int, code: int) -> ua.CallMethodResult:
    """An argument that cannot be meant."""
    verdicts = [status(ua.StatusCodes.Good)] * position + [status(code)]
    return ua.CallMethodResult(
        StatusCode=status(ua.StatusCodes.BadInvalidArgument), InputArgumentResults=verdicts
    )
