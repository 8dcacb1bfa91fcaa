"""Fake connections for the transport tests: what a server says, piece by piece.

Import this before ota.transport: where an interpreter has no sockets at all, it puts empty
modules in their place, because nothing here needs them.
"""

import sys

try:
    import socket
except ImportError:

    class socket:
        socket = None

    sys.modules["socket"] = socket

from ota.errors import TransportError


class Clock:
    """Milliseconds that pass only when somebody waits."""

    def __init__(self):
        self.now = 0

    def __call__(self):
        return self.now

    def sleep(self, ms):
        self.now += ms


class Stream:
    """A connected socket: bytes arrive as they stand, None is "not yet", an error is raised.

    After the last piece the stream ends, or stays silent if the last piece is Ellipsis.
    """

    def __init__(self, pieces, clock=None):
        self.pieces = [pieces] if isinstance(pieces, bytes) else list(pieces)
        self.clock = clock or Clock()
        self.sent = b""
        self.closed = 0
        self.reads = 0

    def readinto(self, buf):
        self.reads += 1
        if not self.pieces:
            return 0
        piece = self.pieces[0]
        if piece is Ellipsis:
            return None
        self.pieces.pop(0)
        if piece is None:
            return None
        if isinstance(piece, Exception):
            raise piece
        n = min(len(buf), len(piece))
        buf[:n] = piece[:n]
        if n < len(piece):
            self.pieces.insert(0, piece[n:])
        return n

    def write(self, data):
        self.sent += bytes(data)
        return len(data)

    def wait(self, writing, ms):
        self.clock.sleep(ms)

    def close(self):
        self.closed += 1


class Net:
    """A network: each connection gets the next of streams; an error is raised instead."""

    def __init__(self, *streams):
        self.clock = Clock()
        self.streams = list(streams)
        self.opened = []
        self.asked = []

    def connect(self, host, port, context, limits, clock):
        self.asked.append((host, port))
        stream = self.streams.pop(0) if self.streams else TransportError("connect", 111)
        if isinstance(stream, Exception):
            raise stream
        if not isinstance(stream, Stream):
            stream = Stream(stream)
        stream.clock = self.clock
        self.opened.append(stream)
        yield
        return stream

    def request(self, number):
        """(request line, {name: value}) of a connection that carried one request."""
        (request,) = self.requests(number)
        return request

    def requests(self, number):
        """[(request line, {name: value})] of a connection."""
        heads = str(self.opened[number].sent, "utf-8").split("\r\n\r\n")
        assert heads.pop() == ""
        found = []
        for head in heads:
            lines = head.split("\r\n")
            found.append((lines[0], dict([line.split(": ", 1) for line in lines[1:]])))
        return found

    def left_open(self):
        return len([s for s in self.opened if not s.closed])


def finish(steps):
    """Run a generator to its end; return its value."""
    while True:
        try:
            next(steps)
        except StopIteration as e:
            return e.value


def read_all(reader, size=7, turns=100000):
    """All bytes of a reader, size at a time."""
    out = b""
    buf = bytearray(size)
    for _ in range(turns):
        n = reader.readinto(buf)
        if n == 0:
            return out
        if n:
            out += buf[:n]
    raise AssertionError("no end")
