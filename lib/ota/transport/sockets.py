"""TCP connections that never block, the same on both interpreters.

The only place where an OSError of a socket becomes a TransportError. Name lookup does block,
because no port has anything else.
"""

import errno
import select
import socket

from ..compat import const, ticks_diff, ticks_ms
from ..errors import TransportError

if False:  # for type checkers
    from ota_hints import Buffer, Callable, Context, Limits, Steps, Writable

_ADDRESSES = const(4)  # tried per name
_EPIPE = const(32)
_MBEDTLS_EOF = const(-29312)
# Errors of the network, not of TLS, also during a handshake.
_NETWORK = (errno.ECONNRESET, errno.ECONNABORTED, errno.ENOTCONN, errno.EHOSTUNREACH)

if hasattr(socket.socket, "recv_into"):
    from ..cpython import Socket as adapted
else:

    def adapted(sock):  # type: ignore[no-redef]
        """MicroPython's own socket as it is."""
        return sock


class Stream:
    """A connected socket: bytes in and out, errors as TransportError.

    Args:
        sock: non-blocking.
        context: SSLContext for TLS to host, or None. The handshake runs inside the first writes.
    """

    def __init__(self, sock, context=None, host=None):
        self._sock = sock
        self._shaking = context is not None
        if context:
            sock = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
        self._io = adapted(sock)
        self._poll = select.poll()
        self._poll.register(self._io, select.POLLIN)

    def readinto(self, buf: "Writable") -> int | None:
        """Read into buf; returns bytes, 0 at the end, None for "not yet".

        Raises TransportError "reset", "timeout".
        """
        try:
            return self._io.readinto(buf)
        except OSError as e:
            raise self._failed(e)

    def write(self, data: "Buffer") -> int | None:
        """Write data; returns bytes written, None for "not yet".

        Raises TransportError "reset", "timeout"; "tls" for a failed handshake.
        """
        try:
            n = self._io.write(data)
        except (OSError, ValueError) as e:
            raise self._failed(e)
        if n:
            self._shaking = False
        return n

    def wait(self, writing: bool, ms: int) -> None:
        """Wait until reading or writing is possible, at most ms milliseconds."""
        flags = select.POLLOUT if writing else select.POLLIN
        # TLS may have to read before it can write; MicroPython's own poll knows that.
        self._poll.modify(self._io, getattr(self._io, "wants", 0) or flags)
        self._poll.poll(ms)

    def close(self) -> None:
        """Close the socket; never fails."""
        # After a failed handshake the TLS socket no longer closes the one below.
        for s in (self._io, self._sock):
            try:
                s.close()
            except OSError:
                pass

    def _failed(self, e):
        number = e.args[0] if e.args else 0
        if number == errno.ETIMEDOUT:
            return TransportError("timeout", e)
        if self._shaking and number not in _NETWORK and number not in (_EPIPE, _MBEDTLS_EOF):
            return TransportError("tls", e)
        return TransportError("reset", e)


def connect(
    host: str, port: int, context: "Context", limits: "Limits", clock: "Callable" = ticks_ms
) -> "Steps":
    """Generator: resolve host and connect to the first of its addresses that answers.

    Args:
        context: SSLContext, or None for plain TCP.
        limits: wire.Limits.
    Returns:
        Stream.
    Raises:
        TransportError: "connect", "tls", "dns" (args: "name" if it does not exist).
    """
    try:
        addresses = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
    except (OSError, ValueError) as e:
        text = str(e)
        if "-2]" in text or text == "-2":
            raise TransportError("dns", "name", e)
        raise TransportError("dns", e)
    error = TransportError("dns", 0)
    for address in addresses[:_ADDRESSES]:
        try:
            sock = yield from _dial(address, limits, clock)
        except OSError as e:
            error = TransportError("connect", e)
            continue
        stream = None
        try:
            stream = Stream(sock, context, host)
            return stream
        except (OSError, ValueError) as e:
            raise TransportError("tls", e)
        finally:
            if not stream:
                sock.close()
    raise error


def _dial(address, limits, clock):
    sock = socket.socket(address[0], address[1], address[2])
    connected = False
    try:
        sock.setblocking(False)
        try:
            sock.connect(address[-1])
        except OSError as e:
            if e.errno not in (errno.EINPROGRESS, errno.EAGAIN):
                raise
        yield from _connected(sock, limits, clock)
        connected = True
        return sock
    finally:
        if not connected:
            sock.close()


def _connected(sock, limits, clock):
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    start = clock()
    while True:
        for ready in poll.poll(limits.poll_ms):
            if ready[1] & (select.POLLERR | select.POLLHUP):
                # The read raises the reason; it cannot succeed.
                adapted(sock).readinto(bytearray(1))
                raise OSError(errno.ECONNRESET)
            return
        if ticks_diff(clock(), start) > limits.connect_ms:
            raise OSError(errno.ETIMEDOUT)
        yield
