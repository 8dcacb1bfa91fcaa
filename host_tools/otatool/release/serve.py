"""A development server for the folder that publish() writes: ranges, entity tags, faults.

For the desk and for tests, not for the open network: any web server or CDN that answers
Range requests does the same job for a fleet.
"""

import contextlib
import hashlib
import http.server
import os
import re
import socket
import ssl
import struct
import sys
import threading
import time
import urllib.parse
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..errors import ToolError
from ..terminal.plain import plain
from .upload import PACKAGE_CACHE, PACKAGES

_PIECE = 16384
_TIMEOUT_S = 180  # without a byte: a TLS handshake of a slow board on a slow link takes minutes
_CONNECTIONS = 256  # at a time, each with a thread
_REQUESTS = 4096  # that are remembered
_TEXT = 256  # characters that are remembered of a path or a range
_TAGS = 1024  # files whose digests are remembered
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)
_GONE = (ConnectionError, TimeoutError, ssl.SSLError)


@dataclass
class Request:
    """One request that was answered.

    Attributes:
        range: as asked, "" if not.
        sent: bytes of the body.
    """

    method: str
    path: str
    range: str
    status: int = 0
    sent: int = 0
    dropped: bool = False

    def __str__(self) -> str:
        part = f" {self.range}" if self.range else ""
        end = ", dropped" if self.dropped else ""
        return plain(f"{self.status} {self.method} {self.path}{part}: {self.sent} bytes{end}")


class Server:
    """Serves folder from its own threads until close(); also a context manager.

    requests: the last of them, at most 4096. sent: bytes of all bodies so far, those under way
    included.

    Args:
        port: 0 lets the system choose.
        tls: certificate chain and key, PEM files.
        drop_after: every body is reset after so many bytes, to see devices resume.
        log: called with each finished Request, from any thread.
        connections: maximum at a time; the one that has been idle longest makes room for a
            new one.

    Raises:
        ToolError: it cannot start.
    """

    def __init__(
        self,
        folder: str | Path,
        port: int = 0,
        bind: str = "127.0.0.1",
        tls: tuple[str | Path, str | Path] | None = None,
        drop_after: int | None = None,
        log: Callable[[Request], None] | None = None,
        connections: int = _CONNECTIONS,
    ):
        self.folder = Path(folder).resolve()
        if not self.folder.is_dir():
            raise ToolError(f"{folder} is not a folder: give the one that otatool publish writes")
        self.drop_after = drop_after
        self.requests: deque[Request] = deque(maxlen=_REQUESTS)
        self.sent = 0
        self._log = log
        self._lock = threading.Lock()
        self._etags: dict[tuple, str] = {}
        context = _context(tls) if tls else None
        try:
            self._http = _Http((bind, port), self, context, connections)
        except (OSError, OverflowError) as e:
            raise ToolError(f"cannot listen on {bind}:{port}: {e}") from e
        self.port = self._http.server_address[1]
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://{_authority(bind, self.port)}/"
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening; may be called more than once."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *exc) -> None:
        self.close()

    def _etag(self, file: BinaryIO, stat: os.stat_result) -> str:
        # One hash per state of a file; a file that is replaced gets another inode.
        key = (stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size)
        with self._lock:
            if key not in self._etags:
                if len(self._etags) >= _TAGS:
                    self._etags.clear()
                self._etags[key] = f'"{_digest(file)[:32]}"'
            return self._etags[key]

    def _began(self, request: Request) -> None:
        with self._lock:
            self.requests.append(request)

    def _went(self, request: Request, n: int) -> None:
        with self._lock:
            request.sent += n
            self.sent += n

    def _ended(self, request: Request) -> None:
        if self._log:
            self._log(request)


def start(folder: str | Path, port: int = 0, **options) -> Server:
    """A running Server; options are its keyword arguments."""
    return Server(folder, port, **options)


class _Connection:
    """A connection, and since when it waits for its peer; None while it is answered."""

    def __init__(self, sock: socket.socket):
        self.idle: float | None = time.monotonic()
        # The handler's own is wrapped for TLS and closed by its thread: this one names the same.
        self._sock = sock.dup()

    def drop(self) -> None:
        """Let its thread find the connection at its end."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Forget it."""
        self._sock.close()


class _Http(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 32

    def __init__(self, address, owner: Server, context: ssl.SSLContext | None, connections: int):
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        self.owner = owner
        self.context = context
        self._most = connections
        self._lock = threading.Lock()
        self._open: dict[object, _Connection] = {}  # by the peer's address
        super().__init__(address, _Handler)

    def process_request(self, request, client_address):
        if self._admit(request, client_address):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)  # all are at work: devices try again

    def _admit(self, request, client_address):
        with self._lock:
            if len(self._open) >= self._most:
                idle = {k: c.idle for k, c in self._open.items() if c.idle is not None}
                if not idle:
                    return False
                longest = self._open.pop(min(idle, key=lambda k: idle[k]))
                longest.drop()
                longest.close()
            self._open[client_address] = _Connection(request)
            return True

    @contextlib.contextmanager
    def answering(self, client_address) -> Iterator[None]:
        """Mark a connection as one that is not idle."""
        c = self._open.get(client_address)
        if c:
            c.idle = None
        try:
            yield
        finally:
            if c:
                c.idle = time.monotonic()

    def process_request_thread(self, request, client_address):
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                c = self._open.pop(client_address, None)
            if c:
                c.close()

    def finish_request(self, request, client_address):
        # Here, in the connection's own thread: a handshake must not hold up the others.
        if self.context:
            request.settimeout(_TIMEOUT_S)
            request = self.context.wrap_socket(request, server_side=True)
        try:
            super().finish_request(request, client_address)
        finally:
            if self.context:
                request.close()

    def shutdown_request(self, request):
        # The half-close that is usual here would turn a reset into an orderly end.
        self.close_request(request)

    def handle_error(self, request, client_address):
        # A device that goes away, or does not trust this certificate, is not our error.
        if not isinstance(sys.exc_info()[1], _GONE):
            super().handle_error(request, client_address)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "otatool"
    sys_version = ""
    timeout = _TIMEOUT_S
    server: _Http

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def log_message(self, format, *args) -> None:
        """Requests are logged when they have ended, by the server's owner."""

    def _answer(self, body: bool) -> None:
        owner = self.server.owner
        asked = self.headers.get("Range", "")
        request = Request(self.command, self.path[:_TEXT], asked[:_TEXT])
        owner._began(request)
        try:
            with self.server.answering(self.client_address):
                self._give(request, body)
        except _GONE:
            request.dropped = True
            self.close_connection = True
        finally:
            owner._ended(request)

    def _give(self, request: Request, body: bool) -> None:
        file = _open(self.server.owner.folder, self.path)
        if file is None:
            self._head(request, 404, {"Content-Length": "0", "Cache-Control": "no-store"})
            return
        with file:
            self._file(request, file, body)

    def _file(self, request: Request, file: BinaryIO, body: bool) -> None:
        stat = os.fstat(file.fileno())
        etag = self.server.owner._etag(file, stat)
        fields = {"ETag": etag, "Accept-Ranges": "bytes", "Cache-Control": _cache(self.path)}
        if etag in [tag.strip() for tag in self.headers.get("If-None-Match", "").split(",")]:
            self._head(request, 304, fields)
            return
        # Only a tag that is the same lets a range through; a date never is.
        asked = request.range if self.headers.get("If-Range", etag) == etag else ""
        found = byte_range(asked, stat.st_size) if self.command == "GET" else None
        if found == ():
            fields["Content-Range"] = f"bytes */{stat.st_size}"
            self._head(request, 416, {**fields, "Content-Length": "0"})
            return
        first, last = found or (0, stat.st_size - 1)
        if found:
            fields["Content-Range"] = f"bytes {first}-{last}/{stat.st_size}"
        fields["Content-Length"] = str(last - first + 1)
        fields["Content-Type"] = "application/octet-stream"
        self._head(request, 206 if found else 200, fields)
        if body:
            file.seek(first)
            self._body(request, file, last - first + 1)

    def _head(self, request: Request, status: int, fields: dict[str, str]) -> None:
        request.status = status
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()

    def _body(self, request: Request, file: BinaryIO, size: int) -> None:
        limit = self.server.owner.drop_after
        drop = limit is not None and limit < size
        left = limit if limit is not None and drop else size
        while left:
            data = file.read(min(left, _PIECE))
            if not data:  # the file became shorter: the announced length is wrong now
                drop = True
                break
            self.wfile.write(data)
            self.server.owner._went(request, len(data))
            left -= len(data)
        if drop:
            request.dropped = True
            self.close_connection = True
            # No lingering: the peer sees a reset, as when a modem loses its network.
            off = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, off)


def byte_range(asked: str, size: int) -> tuple[int, int] | tuple[()] | None:
    """First and last byte of a Range field's value for a file of size bytes.

    None: no range, or a form that is answered with the whole file (several ranges, other
    units, nonsense); (): nothing of the file is in it.
    """
    match = _RANGE.fullmatch(asked.strip())
    if not match or match.groups() == ("", ""):
        return None
    if not match[1]:
        length = int(match[2])
        return (max(0, size - length), size - 1) if length and size else ()
    first = int(match[1])
    last = int(match[2]) if match[2] else size - 1
    if match[2] and last < first:
        return None
    return (first, min(last, size - 1)) if first < size else ()


def _open(folder: Path, target: str) -> BinaryIO | None:
    # A file inside folder that no part of the path hides, or None.
    try:
        path = urllib.parse.unquote(urllib.parse.urlsplit(target).path, errors="strict")
        parts = path.split("/")[1:]
        if any(not p or p.startswith(".") or "\\" in p or "\0" in p for p in parts):
            return None
        found = folder.joinpath(*parts).resolve()
        if not found.is_relative_to(folder) or not found.is_file():
            return None
        return found.open("rb")
    except (OSError, ValueError):
        return None


def _digest(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while data := file.read(_PIECE):
        digest.update(data)
    return digest.hexdigest()


def _cache(target: str) -> str:
    if target.startswith(f"/{PACKAGES}/"):
        return PACKAGE_CACHE
    return "no-cache"  # the manifest: kept by caches, but asked about each time


def _context(tls: tuple[str | Path, str | Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(*tls)
    except OSError as e:
        raise ToolError(f"certificate {tls[0]} and key {tls[1]}: {e}") from e
    return context


def _authority(bind: str, port: int) -> str:
    host = _address() if bind in ("", "0.0.0.0", "::") else bind
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _address() -> str:
    # The address that devices on the network can reach; nothing is sent to find it.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))
            return s.getsockname()[0]
        except OSError:
            return "127.0.0.1"
