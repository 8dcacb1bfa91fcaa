"""A web server that does exactly what a script says, on loopback only.

A script is a list of steps, played once the request's head has come:

    b"..."              send these bytes
    ("wait", s)         do nothing for s seconds
    ("drip", data, s)   send data byte by byte, s seconds after each
    ("timed", data)     send data through a small buffer; how long it took is kept in `took`
    ("repeat", data)    send data until the peer is gone, at most 4 MB
    ("raw", data)       send data below TLS
    ("half",)           close the sending direction, wait for the peer
    ("hang",)           wait until the peer is gone
    ("reset",)          end with a TCP reset; what was sent before does arrive
    ("cut",)            end without TLS's goodbye
    ("keep",)           as the last step: wait for another request on this connection

and ends with an orderly close. A page is a list of scripts, one per request, of which the
last is for all further ones, or a function of the request that gives a script.
"""

import contextlib
import os
import socket
import ssl
import struct
import threading
import time
import warnings

_LIMIT_S = 10
_REPEAT_MAX = 4 << 20


class Request:
    """What was asked: path, fields (names in lower case), and the number of its connection."""

    def __init__(self, head: bytes, connection: int):
        self.connection = connection
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.path, _ = (lines[0] + "  ").split(" ", 2)
        self.fields = {}
        for line in lines[1:]:
            name, _, value = line.partition(": ")
            self.fields[name.lower()] = value


class FaultServer:
    """Serves pages, a dict path -> page, in threads; a context manager.

    first: a script played before anything is read. certificate: PEM file with its key.
    old: speak only TLS 1.1. ipv6: listen on ::1.
    """

    def __init__(self, pages=None, first=None, certificate=None, old=False, ipv6=False):
        self.pages = pages or {}
        self.requests = []
        self.connections = 0
        self.took = []  # seconds
        self._first = first
        self._counts = {}
        self._tls = None
        if certificate:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(certificate)
            if old:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DeprecationWarning)
                    self._tls.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
                    self._tls.maximum_version = ssl.TLSVersion.TLSv1_1
                self._tls.set_ciphers("ALL:@SECLEVEL=0")
        family = socket.AF_INET6 if ipv6 else socket.AF_INET
        address = ("::1" if ipv6 else "127.0.0.1", 0)
        self._socket = socket.create_server(address, family=family, backlog=64)
        self.port = self._socket.getsockname()[1]
        self.url = "%s://localhost:%d" % ("https" if certificate else "http", self.port)
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        # Closing alone does not wake accept().
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def restart(self):
        """Forget all requests: every page begins with its first script again."""
        self.requests = []
        self._counts = {}

    def _accept(self):
        while True:
            try:
                s, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(s, self.connections), daemon=True).start()

    def _serve(self, s, number):
        s.settimeout(_LIMIT_S)
        # Steps must arrive as steps, not gathered.
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw = s
        try:
            if self._first is not None:
                self._play(s, self._first)
                return
            if self._tls:
                s = self._tls.wrap_socket(s, server_side=True)
            while self._answer(s, number):
                pass
        except OSError:
            pass
        finally:
            s.close()
            raw.close()

    def _answer(self, s, number):
        # One request; True if another one may follow.
        head = b""
        while b"\r\n\r\n" not in head:
            piece = s.recv(4096)
            if not piece:
                return False
            head += piece
        script = self._script(Request(head.split(b"\r\n\r\n")[0], number))
        self._play(s, script)
        return script[-1:] == [("keep",)]

    def _script(self, request):
        self.requests.append(request)
        page = self.pages[request.path]
        if callable(page):
            return page(request)
        count = self._counts.get(request.path, 0)
        self._counts[request.path] = count + 1
        return page[min(count, len(page) - 1)]

    def _play(self, s, script):
        for step in script:
            if isinstance(step, bytes):
                s.sendall(step)
            else:
                getattr(self, "_" + step[0])(s, *step[1:])
        if isinstance(s, ssl.SSLSocket) and script[-1:] not in (
            [("cut",)], [("reset",)], [("keep",)],
        ):  # fmt: skip
            s.unwrap()

    def _wait(self, s, seconds):
        time.sleep(seconds)

    def _drip(self, s, data, seconds):
        for i in range(len(data)):
            s.sendall(data[i : i + 1])
            time.sleep(seconds)

    def _timed(self, s, data):
        s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)
        start = time.monotonic()
        s.sendall(data)
        self.took.append(time.monotonic() - start)

    def _repeat(self, s, data):
        for _ in range(_REPEAT_MAX // len(data)):
            s.sendall(data)

    def _raw(self, s, data):
        below = os.dup(s.fileno())
        try:
            os.write(below, data)
        finally:
            os.close(below)
        time.sleep(0.05)

    def _half(self, s):
        s.shutdown(socket.SHUT_WR)
        self._hang(s)

    def _hang(self, s):
        while s.recv(4096):
            pass

    def _reset(self, s):
        # Give the peer time to read: a reset overtakes what is still on its way.
        time.sleep(0.005)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()

    def _cut(self, s):
        """The last step: there is no goodbye after it."""

    def _keep(self, s):
        """The last step: the connection stays."""


@contextlib.contextmanager
def full_port():
    """A port on loopback that answers no further connection: its queue is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as s:
        waiting = []
        try:
            for _ in range(4):
                w = socket.socket()
                w.setblocking(False)
                w.connect_ex(s.getsockname())
                waiting.append(w)
            yield s.getsockname()[1]
        finally:
            for w in waiting:
                w.close()


def closed_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]
