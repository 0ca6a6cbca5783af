"""Sessions at an OPC UA server: opened with a fresh client, closed within a bounded time.

A client is never used twice: one whose connection was lost may hang for ever.
"""

from __future__ import annotations

import asyncio
import logging
import socket

from asyncua import Client, ua

from controller.link.errors import LinkError, LinkLost
from controller.link.identity import REFUSALS, Credentials, refused, secure
from plant_models.signals import Clock

__all__ = ["close_client", "open_client", "words"]

log = logging.getLogger(__name__)

_CLOSE_S = 1.0
_SESSION_MS = 10_000  # a session that its client has lost is soon released by the server
_TCP_USER_TIMEOUT_MS = 2_000


async def open_client(
    endpoint: str, credentials: Credentials, timeout_s: float, clock: Clock
) -> Client:
    """One attempt to log in at ``endpoint``. Raises `LinkLost` or `LinkRefused`."""
    client = Client(endpoint, timeout=timeout_s, watchdog_intervall=1.0, auto_reconnect=False)
    client.session_timeout = _SESSION_MS
    try:
        await asyncio.wait_for(secure(client, credentials, endpoint, clock.now()), timeout_s)
        await asyncio.wait_for(client.connect(), timeout_s)
    except LinkError:
        await close_client(client)
        raise
    except tuple(REFUSALS) as error:
        await close_client(client)
        raise refused(endpoint, error) from error
    except (OSError, TimeoutError, ua.UaError) as error:
        await close_client(client)
        raise LinkLost(f"{endpoint}: {words(error)}") from error
    except asyncio.CancelledError:
        await close_client(client)
        raise
    if credentials.certificate is None:
        log.warning("the channel to %s is not secured", endpoint)
    _fail_early(client)
    return client


async def close_client(client: Client) -> None:
    """End a client, whatever state it is in."""
    try:
        await asyncio.wait_for(client.disconnect(), _CLOSE_S)
    except (OSError, TimeoutError, ua.UaError) as error:
        log.debug("closing: %s", words(error))
    protocol = client.uaclient.protocol
    if protocol is not None and protocol.transport is not None:
        protocol.transport.abort()


def words(error: BaseException) -> str:
    """What an error says, or what it is if it says nothing."""
    return str(error) or {"TimeoutError": "no answer in time"}.get(
        type(error).__name__, type(error).__name__
    )


def _fail_early(client: Client) -> None:
    """Let the kernel give up on unacknowledged data after 2 s (Linux)."""
    protocol = client.uaclient.protocol
    transport = protocol.transport if protocol is not None else None
    raw = transport.get_extra_info("socket") if transport is not None else None
    if raw is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _TCP_USER_TIMEOUT_MS)
