"""Arguments of a method call against what the method declares; the library checks nothing."""

from __future__ import annotations

import math
from typing import Any

from asyncua import ua

from hil.wire import status

__all__ = ["LONGEST_TEXT", "call_result", "refused_arguments"]

LONGEST_TEXT = 4_000
_LARGEST_BUILT_IN_TYPE = 25


def call_result(code: int) -> ua.CallMethodResult:
    """A call that ended with ``code``."""
    return ua.CallMethodResult(StatusCode=status(code))


def refused_arguments(aspace: Any, request: ua.CallMethodRequest) -> ua.CallMethodResult | None:
    """Why a method must not run with these arguments; None if it may.

    Parameters
    ----------
    aspace
        Address space that holds the method.
    request
        The call; its method exists.
    """
    codes = ua.StatusCodes
    got, wanted = request.InputArguments or [], _declared(aspace, aspace[request.MethodId])
    if len(got) != len(wanted):
        few = len(got) < len(wanted)
        return call_result(codes.BadArgumentsMissing if few else codes.BadTooManyArguments)
    verdicts = [_verdict(g, w) for g, w in zip(got, wanted, strict=True)]
    if all(v.is_good() for v in verdicts):
        return None
    result = call_result(codes.BadInvalidArgument)
    result.InputArgumentResults = verdicts
    return result


def _declared(aspace: Any, node: Any) -> list[ua.Argument]:
    for reference in node.references:
        if reference.IsForward and reference.BrowseName.Name == "InputArguments":
            held = aspace[reference.NodeId].attributes[ua.AttributeIds.Value].value
            return list(held.Value.Value or [])
    return []


def _verdict(got: ua.Variant, wanted: ua.Argument) -> ua.StatusCode:
    number = wanted.DataType.Identifier
    built_in = wanted.DataType.NamespaceIndex == 0 and number <= _LARGEST_BUILT_IN_TYPE
    if built_in and (got.VariantType.value != number or got.is_array or got.Value is None):
        return status(ua.StatusCodes.BadTypeMismatch)
    if isinstance(got.Value, float) and not math.isfinite(got.Value):
        return status(ua.StatusCodes.BadOutOfRange)
    if isinstance(got.Value, str) and len(got.Value) > LONGEST_TEXT:
        return status(ua.StatusCodes.BadOutOfRange)
    return ua.StatusCode()
