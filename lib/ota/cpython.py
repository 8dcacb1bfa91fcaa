"""What MicroPython has and CPython does not: stand-ins of the same behaviour.

Not a device file: no board carries it (manifest.py and package.json leave it out). It is
what lets the same source run under pytest and in the host tools.
"""

import errno
import json
import select
import ssl
import time
import zlib

if False:  # for type checkers
    from ota_hints import Any, Buffer, Writable


def const(x: "Any") -> "Any":
    """micropython.const: the value itself."""
    return x


def collect() -> None:
    """gc.collect: nothing, since no allocation here fails for holes in the heap."""


def loads(data: "Buffer") -> "Any":
    """json.loads of any buffer, as MicroPython takes it without a copy: UTF-8 and nothing else."""
    return json.loads(str(data, "utf-8"))


def ticks_ms() -> int:
    """Milliseconds of a clock that never goes back."""
    return int(time.monotonic() * 1000)


def ticks_diff(later: int, earlier: int) -> int:
    """Milliseconds from earlier to later."""
    return later - earlier


def sleep_ms(ms: int) -> None:
    """Sleep for ms milliseconds."""
    time.sleep(ms / 1000)


class Deflated:
    """A source of inflated bytes that is fed in pieces, as package.inflate.Deflated on the device.

    size: as there, not needed here. wbits: 9..15.
    """

    def __init__(self, size: int, wbits: int):
        self._z = zlib.decompressobj(-wbits)
        self._parts: list = []
        self._data = b""

    def begin(self) -> int:
        """Start a new piece; returns how many bytes of the one before were not read."""
        self._parts = [self._data]
        return len(self._data)

    def write(self, data: "Buffer") -> None:
        """Take bytes."""
        self._parts.append(bytes(data))

    def ready(self) -> None:
        """All bytes of the piece are there."""
        self._data = b"".join(self._parts)

    def readinto(self, buf: "Writable") -> int:
        """Fill buf as far as there are bytes. Raises OSError for a broken stream."""
        try:
            out = self._z.decompress(self._data, len(buf))
        except zlib.error as e:
            raise OSError(errno.EINVAL, str(e)) from e
        self._data = self._z.unconsumed_tail
        buf[: len(out)] = out
        return len(out)


class Pinned(ssl.SSLContext):
    """An SSLContext with MicroPython's verify_callback(certificate, depth) -> 0 if it may pass;
    it is asked for the server's own certificate alone."""

    verify_callback = None


class Socket:
    """A CPython socket, plain or TLS, with the methods of MicroPython's: None means not yet.

    wants: the poll flags that the last call was waiting for, 0 if it was not.
    """

    def __init__(self, sock):
        self._sock = sock
        self.fileno = sock.fileno
        self.close = sock.close
        self.wants = 0
        self._ask = getattr(getattr(sock, "context", None), "verify_callback", None)

    def readinto(self, buf: "Writable") -> int | None:
        """How many bytes came, 0 at the end, None for not yet. Raises OSError."""
        return self._try(self._sock.recv_into, buf)

    def write(self, data: "Buffer") -> int | None:
        """How many bytes went, None for not yet. Raises OSError."""
        if self._ask:
            if self._try(self._shaken) is None:
                return None
            if self._ask(self._sock.getpeercert(True), 0):
                raise OSError(errno.EACCES, "pins")
            self._ask = None
        return self._try(self._sock.send, data)

    def _shaken(self):
        self._sock.do_handshake()
        return True

    def _try(self, call, *args):
        self.wants = 0
        try:
            return call(*args)
        except BlockingIOError:
            return None
        except ssl.SSLWantReadError:
            self.wants = select.POLLIN
        except ssl.SSLWantWriteError:
            self.wants = select.POLLOUT
        except ssl.SSLEOFError as e:
            raise OSError(errno.ECONNRESET) from e
        return None
