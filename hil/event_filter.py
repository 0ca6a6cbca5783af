"""Where-clauses of event filters as the standard means them.

The library takes ``OfType`` for "exactly this type", so that a client that asks for alarms of any
kind (as those with an alarm list do) never hears of an alarm of a derived type; and it looks at the
first name of a field's path only, so that nobody can ask for ``ActiveState/Id``.

References
----------
[1] OPC 10000-4, OPC UA Part 4: Services, 7.7.3 (filter operators), 7.7.4.5 (simple attributes).
"""

from __future__ import annotations

from typing import Any

from asyncua import ua
from asyncua.server.monitored_item_service import WhereClauseEvaluator

from hil.wire import numeric_id

__all__ = ["WhereClause", "is_of_type"]

_HAS_SUBTYPE = numeric_id(ua.ObjectIds.HasSubtype)


def is_of_type(aspace: Any, kind: ua.NodeId, wanted: ua.NodeId) -> bool:
    """Whether ``kind`` is the type ``wanted`` or derived from it."""
    seen: set[ua.NodeId] = set()
    here: ua.NodeId | None = kind
    while here is not None and here not in seen:
        if here == wanted:
            return True
        seen.add(here)
        node = aspace.get(here)
        above = [] if node is None else node.references
        here = next(
            (r.NodeId for r in above if not r.IsForward and r.ReferenceTypeId == _HAS_SUBTYPE),
            None,
        )
    return False


class WhereClause(WhereClauseEvaluator):
    """As the library's, but for ``OfType`` [1] and for fields below fields."""

    def _eval_el(self, index: int, event: Any) -> Any:
        element = self.elements[index]
        if element.FilterOperator == ua.FilterOperator.OfType:
            wanted = self._eval_op(element.FilterOperands[0], event)
            return is_of_type(self._aspace, event.EventType, wanted)
        return super()._eval_el(index, event)

    def _eval_op(self, op: Any, event: Any) -> Any:
        if isinstance(op, ua.SimpleAttributeOperand) and len(op.BrowsePath) > 1:
            return getattr(event, "/".join(name.Name for name in op.BrowsePath))
        return super()._eval_op(op, event)
