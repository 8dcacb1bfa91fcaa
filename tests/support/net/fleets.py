"""Small fleets for the tests: what is published for them, servers with faults, their figures."""

import contextlib
import functools
import hashlib
import http.server
import json
import threading
import time
from collections import Counter

import images
from ota.crypto import Keys
from ota.state import record as slots
from otatool.fleet.link import Profile
from otatool.fleet.simulate import Settings, simulate
from otatool.release import keys, publish

KEYS = Keys([images.KEY])
SIGNING = keys.SigningKey(bytes.fromhex(images.KEY["secret"]))
OLD, NEW = images.image(1, 90_000), images.image(2, 90_000)
FULL = slots.Image()  # what no patch fits
N = 30  # devices of a small fleet
QUICK = {"devices": N, "poll_s": 600.0, "spread_s": 60.0, "limit_s": 60e3, "speed_up": 120.0}
QUICK["start_s"] = 1e6  # who has the update asks no more
CUTS = Profile(latency_ms=20, rate=200_000, cuts_per_mb=60)


def published(folder, *releases, **options):
    """Publish images as versions 1, 2, ...; returns the folder."""
    for i, image in enumerate(releases):
        release = publish.Release("rig", str(i + 1), quick=True, **options)
        publish.publish(folder, image, release, [SIGNING])
    return folder


def packages(www):
    """(URL, bytes) of full package, patch and patch in place of the newest release."""
    content = json.loads((www / publish.MANIFEST).read_bytes().split(b"\nsig ")[0])
    found = content["releases"][0]["images"][0]["packages"]
    return [(p["url"], (www / p["url"]).read_bytes()) for p in found]


def roll(server, **changes):
    """Figures of a small fleet; server: or a list of mirrors."""
    servers = server if isinstance(server, list) else [server]
    urls = [s.url + publish.MANIFEST for s in servers]
    return simulate(urls if len(urls) > 1 else urls[0], Settings(**{**QUICK, **changes}))


def seen(server, figures):
    """Requests that the server counted, by the fleet's kinds, once all have been read."""
    deadline = time.monotonic() + 5
    while len(server.requests) < figures["requests"]["total"] and time.monotonic() < deadline:
        time.sleep(0.02)
    kinds = Counter()
    for request in server.requests:
        kind = "manifest" if request.path.endswith(publish.MANIFEST) else "package"
        if request.status == 304:
            kind = "unchanged"
        elif request.range:
            kind = "resumed"
        kinds[kind] += 1
    return dict(kinds)


def counted(figures):
    """Requests that the fleet counted, by kind."""
    return {k: n for k, n in figures["requests"].items() if n and k != "total"}


def agree(server, figures):
    assert counted(figures) == seen(server, figures)
    assert figures["requests"]["total"] == len(server.requests)


def complete(figures, package, devices=N):
    """All devices ended with this very package."""
    assert figures["wanted"] == figures["updated"] == devices
    assert figures["packages"] == [hashlib.sha256(package).hexdigest()]


class Handler(http.server.SimpleHTTPRequestHandler):
    """Python's own file server: it knows no ranges and no entity tags."""

    count = 0

    def do_GET(self):
        self.count += 1
        self.server.requests.append((self.path, time.monotonic()))
        if not self.server.fault(self):
            super().do_GET()

    def answer(self, status, **fields):
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def log_message(self, *args):
        """Not on the terminal."""


class Keeping(Handler):
    protocol_version = "HTTP/1.1"


@contextlib.contextmanager
def faulty(folder, fault, handler=Handler):
    """A server that answers as fault(handler) does where it returns True. It keeps connections
    only where it is told to; handler.count: which request of its connection it is, from 1."""
    handler = functools.partial(handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as s:
        s.requests, s.fault = [], fault
        s.url = f"http://127.0.0.1:{s.server_address[1]}/"
        threading.Thread(target=s.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield s
        finally:
            s.shutdown()
