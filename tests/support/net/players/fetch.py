"""Fetch what a file of cases says and print what came of it, on either interpreter.

    micropython tests/support/net/players/fetch.py CASES.json

A case is a dict: url; offset, etag, headers, tls, limits as transport.http.get takes them;
"resume": arguments of Resuming, to use that; "names": what a name server says, see names.py.
A result has what was read and the error's words and numbers.
"""

import gc
import hashlib
import json
import sys

_HERE = __file__.rpartition("/")[0] or "."
_PIECE = 700

sys.path.insert(0, _HERE + "/../../..")
import folders  # noqa: E402

folders.add()
sys.path.insert(0, _HERE)

from names import Names, open_files  # noqa: E402
from ota.errors import TransportError  # noqa: E402
from ota.transport import http, sockets  # noqa: E402
from ota.transport.resume import Resuming  # noqa: E402


def run(case):
    """The result of one case, a dict of plain values."""
    result = {"name": case["name"], "error": None, "got": 0, "digest": None}
    before = open_files()
    network = sockets.socket
    if "names" in case:
        sockets.socket = Names(network, case["names"])
    try:
        _read(case, result)
    except TransportError as e:
        result["error"] = [a for a in e.args if isinstance(a, (int, str))]
    finally:
        sockets.socket = network
    gc.collect()
    result["open"] = open_files() - before
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


if __name__ == "__main__":
    with open(sys.argv[1]) as f:
        cases = json.load(f)
    for case in cases:
        print(json.dumps(run(case)))
