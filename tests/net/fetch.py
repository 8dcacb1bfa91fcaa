"""Fetch what a file of cases says and print what came of it, on either interpreter.

    micropython tests/net/fetch.py CASES.json

A case is a dict: url; offset, etag, headers, tls, limits as transport.http.get takes them;
"resume": arguments of Resuming, to use that; "dead": a port where nobody listens, as the
name's first address. A result has what was read and the error's words and numbers.
"""

import gc
import hashlib
import json
import os
import sys

_HERE = __file__.rpartition("/")[0] or "."
_PIECE = 700

sys.path.insert(0, _HERE + "/../../lib")

from ota.errors import TransportError  # noqa: E402
from ota.transport import http, sockets  # noqa: E402
from ota.transport.resume import Resuming  # noqa: E402


def run(case):
    """The result of one case, a dict of plain values."""
    result = {"name": case["name"], "error": None, "got": 0, "digest": None}
    before = _open_files()
    network = sockets.socket
    if "dead" in case:
        sockets.socket = _Names(network, case["dead"])
    try:
        _read(case, result)
    except TransportError as e:
        result["error"] = [a for a in e.args if isinstance(a, (int, str))]
    finally:
        sockets.socket = network
    gc.collect()
    result["open"] = _open_files() - before
    return result


def _read(case, result):
    limits = case.get("limits", {})
    if "resume" in case:
        source = Resuming(
            case["url"],
            headers=case.get("headers"),
            tls=case.get("tls"),
            **case["resume"],
            **limits,
        )
        reader = _finish(source.open(case.get("offset", 0)))
    else:
        reader = _finish(
            http.get(
                case["url"],
                case.get("offset", 0),
                case.get("etag"),
                case.get("headers"),
                case.get("tls"),
                **limits,
            )
        )
        result["status"] = reader.status
        result["total"] = reader.total
    result["offset"] = reader.offset
    result["length"] = reader.length
    result["etag"] = reader.etag
    digest = hashlib.sha256()
    buf = memoryview(bytearray(_PIECE))
    try:
        while True:
            n = reader.readinto(buf)
            if n == 0:
                break
            if n:
                digest.update(buf[:n])
                result["got"] += n
    finally:
        reader.close()
    result["digest"] = "".join(["%02x" % b for b in digest.digest()])


def _finish(steps):
    while True:
        try:
            next(steps)
        except StopIteration as e:
            return e.value


class _Names:
    """The socket module with a name service that puts a dead address first."""

    def __init__(self, network, port):
        self._network = network
        self._port = port
        self.SOCK_STREAM = network.SOCK_STREAM
        self.socket = network.socket

    def getaddrinfo(self, host, port, family, kind):
        found = self._network.getaddrinfo(host, self._port, family, kind)[:1]
        return found + self._network.getaddrinfo(host, port, family, kind)


def _open_files():
    # Linux only; elsewhere nothing is counted.
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return 0


if __name__ == "__main__":
    with open(sys.argv[1]) as f:
        cases = json.load(f)
    for case in cases:
        print(json.dumps(run(case)))
