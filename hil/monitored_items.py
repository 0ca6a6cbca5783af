"""Monitored items that report what they should, and that no subscriber can break.

The library compares a deadband with the last sample instead of the last report, so that a slow ramp
is never reported; it takes any filter on any attribute, and a filter that does not fit raises in
whoever publishes the value: one reader would stop the plant.

References
----------
[1] OPC 10000-4, OPC UA Part 4: Services, 5.13 (monitored items), 7.22 (filters and deadbands).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any

from asyncua import ua
from asyncua.server.monitored_item_service import MonitoredItemService
from asyncua.ua.uaprotocol_auto import DataChangeFilter  # what is decoded; `ua` has a subclass

from hil.event_filter import WhereClause
from hil.wire import numeric_id, status

__all__ = ["MOST_ITEMS", "SoundMonitoredItems", "exceeds"]

log = logging.getLogger(__name__)

# Built-in types from SByte to Double, and the abstract Number, Integer and UInteger.
_NUMBERS = frozenset(numeric_id(n) for n in (*range(2, 12), 26, 27, 28))

# Items of one subscription.
MOST_ITEMS = 2_000


def exceeds(old: object, new: object, band: float) -> bool:
    """Whether ``new`` differs from ``old``, the last reported value, by more than ``band``.

    An array counts as a whole: one element is enough. What cannot be compared is reported.
    """
    if isinstance(old, Sequence) and isinstance(new, Sequence) and not isinstance(new, str):
        if len(old) != len(new):
            return True
        return any(exceeds(a, b, band) for a, b in zip(old, new, strict=True))
    if not isinstance(old, (int, float)) or not isinstance(new, (int, float)):
        return True
    if math.isnan(old) or math.isnan(new):
        return math.isnan(old) is not math.isnan(new)
    return old != new and not abs(new - old) <= band


def _filter(wanted: Any) -> Any:
    """A filter as decoded; None for the empty extension object that stands for none."""
    empty = isinstance(wanted, ua.ExtensionObject) and wanted.TypeId == ua.NodeId()
    return None if empty else wanted


class SoundMonitoredItems(MonitoredItemService):
    """Items of one subscription: deadband by the last report [1, 7.22.2], queue size 0 is 1."""

    def __init__(self, isub: Any, aspace: Any) -> None:
        super().__init__(isub, aspace)
        self._reported: dict[int, ua.DataValue] = {}

    # What may be asked for

    def _refused(self, item: ua.ReadValueId, wanted: Any) -> int:
        """Status code of why an item with filter ``wanted`` cannot be; Good if it can."""
        codes = ua.StatusCodes
        if item.IndexRange:
            return codes.BadIndexRangeInvalid
        if item.AttributeId == ua.AttributeIds.EventNotifier:
            fits = isinstance(wanted, ua.EventFilter) and wanted.WhereClause is not None
            return codes.Good if fits else codes.BadEventFilterInvalid
        if wanted is None:
            return codes.Good
        if not isinstance(wanted, DataChangeFilter):
            return codes.BadMonitoredItemFilterUnsupported
        if item.AttributeId != ua.AttributeIds.Value:
            return codes.BadFilterNotAllowed
        return self._deadband_refused(item, wanted)

    def _deadband_refused(self, item: ua.ReadValueId, wanted: DataChangeFilter) -> int:
        codes = ua.StatusCodes
        if wanted.DeadbandType == ua.DeadbandType.None_:
            return codes.Good
        if wanted.DeadbandType != ua.DeadbandType.Absolute:
            return codes.BadMonitoredItemFilterUnsupported
        if not (math.isfinite(wanted.DeadbandValue) and wanted.DeadbandValue >= 0.0):
            return codes.BadDeadbandFilterInvalid
        held = self.aspace.read_attribute_value(item.NodeId, ua.AttributeIds.DataType)
        kind = held.Value.Value if held.Value is not None else None
        return codes.Good if kind in _NUMBERS else codes.BadFilterNotAllowed

    def _revise_queue_size(self, requested: int) -> int:
        return super()._revise_queue_size(max(1, int(requested)))

    async def create_monitored_items(
        self, params: ua.CreateMonitoredItemsParameters
    ) -> list[ua.MonitoredItemCreateResult]:
        """Make the items whose filters fit them."""
        results = []
        for item in params.ItemsToCreate:
            item.RequestedParameters.Filter = _filter(item.RequestedParameters.Filter)
            code = self._refused(item.ItemToMonitor, item.RequestedParameters.Filter)
            if len(self._monitored_items) >= MOST_ITEMS:
                code = ua.StatusCodes.BadTooManyMonitoredItems
            if code != ua.StatusCodes.Good:
                results.append(ua.MonitoredItemCreateResult(StatusCode=status(code)))
            elif item.ItemToMonitor.AttributeId == ua.AttributeIds.EventNotifier:
                results.append(self._create_events_monitored_item(item))
            else:
                results.append(await self._create_data_change_monitored_item(item))
        return results

    def _modify_monitored_item(
        self, params: ua.MonitoredItemModifyRequest
    ) -> ua.MonitoredItemModifyResult:
        item = self._monitored_items.get(params.MonitoredItemId)
        if item is None or item.read_value_id is None:
            code = status(ua.StatusCodes.BadMonitoredItemIdInvalid)
            return ua.MonitoredItemModifyResult(StatusCode=code)
        wanted = params.RequestedParameters
        wanted.Filter = _filter(wanted.Filter)
        if wanted.Filter is not None:
            code = status(self._refused(item.read_value_id, wanted.Filter))
            if not code.is_good():
                return ua.MonitoredItemModifyResult(StatusCode=code)
            item.filter = wanted.Filter
        item.client_handle = wanted.ClientHandle
        item.queue_size = self._revise_queue_size(wanted.QueueSize)
        return ua.MonitoredItemModifyResult(
            RevisedSamplingInterval=self.isub.data.RevisedPublishingInterval,
            RevisedQueueSize=ua.UInt32(item.queue_size),
        )

    def _delete_monitored_items(self, mid: int) -> ua.StatusCode:
        self._reported.pop(mid, None)
        return super()._delete_monitored_items(mid)

    # What is reported

    async def datachange_callback(
        self, handle: int, value: ua.DataValue, error: ua.StatusCode | None = None
    ) -> None:
        """A value was published: tell it if it differs enough from the one told last."""
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
        if item.filter and self._within_deadband(values.old_dvalue, value, item.filter):
            return
        self._reported[mid] = value
        note = ua.MonitoredItemNotification(ClientHandle=item.client_handle, Value=value)
        await self.isub.enqueue_datachange_event(mid, note, item.queue_size)

    @staticmethod
    def _within_deadband(
        old: ua.DataValue | None, new: ua.DataValue, wanted: DataChangeFilter
    ) -> bool:
        """Whether the change is too small to tell; another status is always told."""
        if old is None or old.StatusCode != new.StatusCode:
            return False
        if wanted.DeadbandType == ua.DeadbandType.None_ or old.Value is None or new.Value is None:
            return False
        return not exceeds(old.Value.Value, new.Value.Value, wanted.DeadbandValue)

    def _create_events_monitored_item(
        self, params: ua.MonitoredItemCreateRequest
    ) -> ua.MonitoredItemCreateResult:
        """The library's, with a where-clause that knows derived types; size 0 is the most here."""
        wanted = params.RequestedParameters
        wanted.QueueSize = wanted.QueueSize or ua.UInt32(self.isub.max_queue_size)
        result = super()._create_events_monitored_item(params)
        item = self._monitored_items.get(result.MonitoredItemId)
        if result.StatusCode.is_good() and item is not None:
            clause = item.filter.WhereClause
            item.where_clause_evaluator = WhereClause(self.logger, self.aspace, clause)
        return result

    async def _trigger_event(self, event: Any, mid: int) -> None:
        """A field that an event does not have is the subscriber's mistake, not the emitter's."""
        try:
            await super()._trigger_event(event, mid)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            log.warning("an event is kept from a subscriber with an impossible filter: %s", error)
