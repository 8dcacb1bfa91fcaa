"""A network that fails while flash is cut: rows 9 and 79 of docs/network-faults.md.

A server in memory gives manifest and package to the real client, and breaks every answer in
one of four ways; power goes at any operation of the whole update. Resets at every byte of a
package are here, too.
"""

import fakenet
from explore import Failed
from images import image, vector
from ota import device, state, update
from ota.boot import trial
from ota.errors import TransportError
from ota.source.static import Static
from ota.transport.resume import Resuming
from ota.transport.url import join
from packer import Package, content, entry, manifest, release
from prove_update import GEOMETRIES, Update, name_of
from rig import Rig

# Rows of the matrix: what becomes of an answer that brings a part of the package.
RESET, CLOSE, WHOLE, CHANGED = "f9", "f10", "f29", "f32"
FAULTS = (RESET, CLOSE, WHOLE, CHANGED)
_URL = "http://host/manifest"
_PIECE = 700
_TRIES = 3  # updates that may be needed: after a change, the next one


class Server:
    """Serves `manifest` and `package`; an answer ends behind cut(offset), bytes of the package.

    body: bytes of the package that arrived; ranges: whether it knows Range.
    """

    def __init__(self, manifest, package, cut, how, ranges=True):
        self.manifest, self.package = manifest, package
        self.etag = b'"1"'
        self.body = self.resets = 0
        self.ranges = ranges
        self._cut, self._how = cut, how
        self.clock = fakenet.Clock()

    def connect(self, host, port, context, limits, clock):
        """As sockets.connect."""
        yield None
        return _Connection(self)

    def answer(self, request):
        """What arrives after a request: pieces as fakenet.Stream has them."""
        if b"GET /manifest" in request:
            data = self.manifest
            return [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data), data]
        whole, start = self.package, 0
        at = request.find(b"\r\nRange: bytes=")
        tag = request.find(b"\r\nIf-Range: ")
        same = tag < 0 or request[tag + 12 :].startswith(self.etag + b"\r")
        if at >= 0 and self.ranges and same:
            start = int(request[at + 15 : request.find(b"-", at)])
            head = b"HTTP/1.1 206 P\r\nContent-Range: bytes %d-%d/%d\r\n" % (
                start, len(whole) - 1, len(whole),
            )  # fmt: skip
        else:
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n" % len(whole)
        end = min(len(whole), self._cut(start))
        pieces = [head + b"ETag: " + self.etag + b"\r\n\r\n"]
        for i in range(start, end, _PIECE):
            pieces += [whole[i : min(i + _PIECE, end)], None]
        if end < len(whole):
            self.resets += 1
            pieces += self._how(self)
        return pieces


class _Connection(fakenet.Stream):
    def __init__(self, server):
        fakenet.Stream.__init__(self, [], server.clock)
        self._server = server
        self._asked = False

    def readinto(self, buf):
        head = not self._asked
        if head:
            self._asked = True
            self.pieces = self._server.answer(self.sent)
        n = fakenet.Stream.readinto(self, buf)
        if n and not head and b"GET /package" in self.sent:
            self._server.body += n
        return n


class Source(Static):
    """Static over a Server, without real pauses."""

    def __init__(self, server):
        self._server = server
        Static.__init__(self, _URL, {"connect": server.connect, "clock": server.clock})

    def open(self, url, size):
        clock = self._server.clock
        return Resuming(join(_URL, url), size, 40, 1, sleep=clock.sleep, **self._options).open


def offered(package, new, base, in_place, sequence=1):
    """A manifest that leads to the package."""
    found = entry("package", package, base, in_place)
    return manifest(content([release("0.2", new, [found])], sequence))


class Faulty(Update):
    """An Update whose package comes over a broken network. fault: one of FAULTS.

    Cut are the operations until the package is armed: what follows knows no network, and is
    cut by Update.
    """

    def __init__(self, strategy, kind, name, sector, program, fault, **options):
        self._fault = fault
        self._kind = kind
        self._switch = None  # operations before the file on the server changed
        self.fetched = 0  # operations before what follows without a network
        self.whole = 2 if fault == CHANGED else 1
        Update.__init__(self, strategy, kind, name, sector, program, **options)
        self.name = name_of(strategy, kind, name, sector, program, fault, options)
        if not self._server.resets:
            raise Failed(self.name, "no fault")

    def _update(self):
        self._server = server = self._serve()
        if self._switch is not None and self.cut_at >= self._switch:
            self._change(server)
        for _ in range(_TRIES):
            try:
                update.drive(update.run(self.rig.device, Source(server)))
                break
            except TransportError as e:
                if e.reason != "changed" or self._fault != CHANGED:
                    raise
        if not self.fetched:
            self.fetched = len(self.nor.log)
        self.rig.boot()
        trial.confirm()

    def explore(self, effects, wanted=None, seed=1):
        """Every single cut while it is fetched; returns how many."""

        def fetching(n, effect):
            return n < self.fetched and (wanted is None or wanted(n, effect))

        return Update.explore(self, effects, fetching, seed)

    def _serve(self):
        size = len(self.package)
        third = size // 3 + 1
        base = None if self._kind == "full" else self.old
        found = offered(self.package, self.new, base, self._kind in ("place", "stash"), 2)
        if self._fault == WHOLE:
            # What is here already comes again; the answers get longer each time.
            ends = [third, third // 2, 2 * third]
            return Server(
                found, self.package, lambda at: ends.pop(0) if ends else size, _reset, False
            )
        if self._fault == CHANGED:
            third_image = image(3, len(self.old))
            other = Package(third_image, None, "0.2", block=max(4096, self.nor.sector_size)).data()
            first = offered(other, third_image, None, False, 1)
            return Server(first, other, lambda at: self._half(), self._changes)
        how = _reset if self._fault == RESET else _close
        return Server(found, self.package, lambda at: at + third, how)

    def _half(self):
        server = self._server
        return len(server.package) if server.etag != b'"1"' else len(server.package) // 2

    def _changes(self, server):
        if self._switch is None:
            self._switch = len(self.nor.log)
        self._change(server)
        return [TransportError("reset", 104)]

    def _change(self, server):
        base = None if self._kind == "full" else self.old
        server.package, server.etag = self.package, b'"2"'
        server.manifest = offered(
            self.package, self.new, base, self._kind in ("place", "stash"), 2
        )


def specs():
    """Arguments of Faulty as prove.updates() has them."""
    for fault in FAULTS:
        for strategy, kind in (
            ("ab", "full"), ("ab", "delta"), ("pingpong", "full"), ("pingpong", "delta"),
            ("inplace", "place"), ("inplace", "full"),
        ):  # fmt: skip
            for sector, program in GEOMETRIES:
                yield strategy, kind, "24k", sector, program, fault, {"ecc": program > 1}


# What resets() is done with.
PACKAGES = (
    ("ab", "delta"), ("inplace", "place"), ("ab", "full"), ("pingpong", "full"),
    ("inplace", "full"),
)  # fmt: skip


def _package(kind):
    return vector("%s-24k-4096.ota" % kind)


def size(kind):
    """Bytes of a package of resets()."""
    return len(_package(kind))


def _once(at):
    """cut of a Server: the first answer ends at byte `at`."""
    ends = [at]
    return lambda start: ends.pop() if ends else 1 << 20


def _reset(server):
    return [TransportError("reset", 104)]


def _close(server):
    return []


def resets(strategy, kind, first, count):
    """A reset behind each byte of a package from `first` on; returns how many."""
    old, new = image(1, 24 * 1024), image(2, 24 * 1024)
    package = _package(kind)
    found = offered(package, new, None if kind == "full" else old, kind == "place")
    rig = Rig(strategy)
    empty = rig.nor.snapshot()
    done = 0
    for at in range(first, min(first + count, len(package))):
        rig.nor.restore(empty)
        rig.boot()
        server = Server(found, package, _once(at), _reset)
        update.drive(update.run(rig.device, Source(server)))
        # What arrived before the reset does not come again.
        if server.resets != 1 or server.body != len(package):
            raise Failed("bytes-%s-%s-%d" % (strategy, kind, at), server.resets, server.body)
        record = rig.boot()
        if record.state != state.TRIAL or not rig.runs(new):
            raise Failed("bytes-%s-%s-%d" % (strategy, kind, at), state.name(record.state))
        done += 1
    device.current = None
    return done
