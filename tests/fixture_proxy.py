"""A TCP proxy on 127.0.0.1 that a test can cut, and that keeps what clients sent: a line between a replica and one server.

    with Proxy(server.port) as proxy:
        proxy.port                # to be given to the client
        proxy.cut()               # connections are reset, new ones too
        proxy.hold()              # connections stand, nothing gets through; after heal(), late, all of it does
        proxy.heal()
        proxy.requests()          # with HTTP: [("GET", "/bucket/key"), …], over all connections, in order

All proxies are served by one thread.
"""
import asyncio
import re
import socket
import struct
import threading
import time

from fixture_sshd import free_port

REQUEST = re.compile(rb"(GET|PUT|DELETE|HEAD|POST) (\S+) HTTP/1\.1\r\n")


class Loop:
    """The thread that serves all proxies, started with the first."""
    loop = None

    @classmethod
    def call(cls, coroutine):
        if cls.loop is None:
            cls.loop = asyncio.new_event_loop()
            threading.Thread(target=cls.loop.run_forever, daemon=True).start()
        return asyncio.run_coroutine_threadsafe(coroutine, cls.loop).result(30)


class Proxy:
    def __init__(self, target_port, port=None):
        """port: to listen on; None: a free one."""
        self.target_port = target_port
        self.port = port or free_port()
        self.sent = []  # (time.monotonic(), bytes) that clients sent
        self.writers = set()
        self.refuses = False
        Loop.call(self.start())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    async def start(self):
        self.flows = asyncio.Event()
        self.flows.set()
        self.listener = await asyncio.start_server(self.serve, "127.0.0.1", self.port)

    def close(self):
        async def close():
            self.listener.close()
            self.reset_all()
        Loop.call(close())

    def cut(self):
        async def cut():
            self.refuses = True
            self.reset_all()
        Loop.call(cut())

    def hold(self):
        async def hold():
            self.flows.clear()
        Loop.call(hold())

    def heal(self):
        async def heal():
            self.refuses = False
            self.flows.set()
        Loop.call(heal())

    def reset_all(self):
        for writer in list(self.writers):
            reset(writer)

    async def serve(self, reader, writer):
        if self.refuses:
            reset(writer)
            return
        self.writers.add(writer)
        far_writer = None
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
            self.writers.add(far_writer)
            await asyncio.gather(self.carry(reader, far_writer, self.sent), self.carry(far_reader, writer, None))
        except (OSError, asyncio.IncompleteReadError):
            reset(writer)
        finally:
            for end in (writer, far_writer):
                if end is not None:
                    self.writers.discard(end)
                    end.close()

    async def carry(self, reader, writer, log):
        while data := await reader.read(65536):
            if log is not None:
                log.append((time.monotonic(), data))
            await self.flows.wait()
            writer.write(data)
            await writer.drain()
        await self.flows.wait()
        if writer.can_write_eof():
            writer.write_eof()

    def requests(self):
        """The HTTP requests that came from clients: (method, path). Our client sends each one's head in one piece."""
        return [(match[1].decode(), match[2].decode()) for _, data in self.sent for match in REQUEST.finditer(data)]

    def request_times(self, method):
        return [at for at, data in self.sent if data.startswith(method.encode() + b" ")]

    def forget(self):
        self.sent.clear()


def reset(writer):
    """End the connection as a broken line does: by RST."""
    try:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except OSError:
        pass  # it is closed already
    writer.transport.abort()
