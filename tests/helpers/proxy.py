"""A TCP proxy on loopback that delays, stops or cuts what passes through it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_CHUNK = 65_536


@dataclass
class Proxy:
    """``delay_s`` holds back what the client sends, ``answer_s`` what the server answers.

    While not ``forwarding`` nothing passes: the connection is half open.
    """

    host: str
    target: int
    port: int = 0
    delay_s: float = 0.0
    answer_s: float = 0.0
    forwarding: asyncio.Event = field(default_factory=asyncio.Event)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(self.host, self.target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, back}
        outwards = asyncio.create_task(self._pump(reader, back, delayed=True))
        inwards = asyncio.create_task(self._pump(there, writer, delayed=False))
        self._tasks |= {outwards, inwards}
        await asyncio.wait({outwards, inwards}, return_when=asyncio.FIRST_COMPLETED)
        for task in (outwards, inwards):
            task.cancel()
        for stream in (writer, back):
            stream.transport.abort()
            self._writers.discard(stream)
        self._tasks -= {outwards, inwards}

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, delayed: bool
    ) -> None:
        """Forward in order; each piece leaves ``delay_s`` after it came."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def send() -> None:
            while True:
                due, data = await queue.get()
                await asyncio.sleep(max(0.0, due - loop.time()))
                await self.forwarding.wait()
                writer.write(data)
                await writer.drain()

        sending = asyncio.create_task(send())
        try:
            while data := await reader.read(_CHUNK):
                queue.put_nowait((loop.time() + (self.delay_s if delayed else self.answer_s), data))
        except OSError:
            return
        finally:
            sending.cancel()

    def cut(self) -> None:
        """Reset all connections."""
        for writer in list(self._writers):
            writer.transport.abort()


@asynccontextmanager
async def proxy_to(endpoint: str) -> AsyncIterator[tuple[Proxy, str]]:
    """A proxy in front of an OPC UA endpoint, and the endpoint through it."""
    url = urlsplit(endpoint)
    proxy = Proxy(url.hostname or "127.0.0.1", url.port or 0)
    proxy.forwarding.set()
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy, f"opc.tcp://127.0.0.1:{proxy.port}{url.path}"
    finally:
        proxy.cut()
        server.close()
        await server.wait_closed()
        for task in list(proxy._tasks):
            task.cancel()
