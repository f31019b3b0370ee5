"""A TCP forwarder on loopback: the network between one replica and the API server, which can be cut, or a Service."""

from __future__ import annotations

import asyncio
import itertools
import threading
from urllib.parse import urlsplit


class Proxy:
    """``with Proxy(url) as proxy``: ``proxy.url`` leads to ``url`` until :meth:`cut`.

    With several URLs, connections go to one after another, as those of a Service.
    """

    def __init__(self, *urls: str) -> None:
        self._targets = itertools.cycle([(place.hostname, place.port or 443) for place in map(urlsplit, urls)])
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._open: set[asyncio.StreamWriter] = set()
        self._is_cut = False
        self.url = ""

    def __enter__(self) -> Proxy:
        self._thread.start()
        server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop
        ).result()
        self.url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def cut(self) -> None:
        """End what is connected and refuse what comes."""
        asyncio.run_coroutine_threadsafe(self._cut(), self._loop).result(10)

    async def _cut(self) -> None:
        self._is_cut = True
        for writer in self._open:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        out_reader, out_writer = await asyncio.open_connection(*next(self._targets))
        self._open |= {writer, out_writer}
        await asyncio.gather(_copy(reader, out_writer), _copy(out_reader, writer))
        self._open -= {writer, out_writer}


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
