"""Scenes of an update that several test files play: boards in RAM, sources, refusals."""

import gc
import hashlib
import sys
import unittest

import ota
from images import image, vector
from ota import device, errors, update
from ota import package as fmt
from ota.boot import trial
from ota.errors import (
    PolicyError,
    RejectError,
    SignatureError,
    TransportError,
)
from packer import OTHER_KEY, Package, noise
from rig import KB, Rig, opener

SIZE = 24 * KB
ONE, TWO, THREE = image(1, SIZE), image(2, SIZE), image(3, SIZE)
STRATEGIES = ("ab", "pingpong", "inplace")
WAYS = (
    ("ab", "full"), ("ab", "delta"), ("pingpong", "full"), ("pingpong", "delta"),
    ("inplace", "place"), ("inplace", "full"),
)  # fmt: skip


class Restart(BaseException):
    """The board would restart here."""


class _Machine:
    @staticmethod
    def reset():
        raise Restart


class Source:
    """A source without a network; url -> package bytes."""

    def __init__(self, data, packages=None):
        self.data = data
        self.packages = packages or {}
        self.opened = []
        self.sizes = []
        self.told = []
        self.closed = 0

    def check(self):
        yield None
        return self.data

    def open(self, url, size):
        self.opened.append(url)
        self.sizes.append(size)
        return opener(self.packages[url])

    def report(self, stage, detail):
        self.told.append((stage, detail))

    def close(self):
        self.closed += 1


class Server:
    """open_at over bytes that breaks off after `limit` bytes in all; counts what it gave."""

    def __init__(self, data, limit=1 << 30):
        self.data = data
        self.limit = limit
        self.given = 0
        self.closed = 0
        self.offsets = []

    def open(self, offset):
        self.offsets.append(offset)
        yield None
        return _Reader(self, offset)


class _Reader:
    def __init__(self, server, at):
        self._server = server
        self._at = at
        self._turn = False

    def readinto(self, buf):
        s = self._server
        self._turn = not self._turn
        if self._turn:
            return None
        n = min(len(buf), len(s.data) - self._at, s.limit - s.given, 700)
        buf[:n] = s.data[self._at : self._at + n]
        self._at += n
        s.given += n
        return n

    def close(self):
        self._server.closed += 1


_last = []  # kind, board, its configuration


def blank(strategy, size=SIZE, sector=4096, program=8):
    """A board before its first boot, with 0.1 in its slot.

    The last one is used again if it is of the same kind: a flash is a large piece of memory.
    """
    device.current = None
    kind = strategy, size, sector, program
    if not _last or _last[0] != kind:
        _last[:] = ()
        gc.collect()
        rig = Rig(strategy, size, sector, program)
        _last[:] = kind, rig, _copy(rig.config)
    rig = _last[1]
    rig.config = _copy(_last[2])
    try:
        del rig.nor.program  # see stick()
    except AttributeError:
        pass
    rig.nor.power_on()
    rig.nor.erase(0, rig.nor.size)
    rig.write("active", ONE)
    return rig


def _copy(config):
    return {k: _copy(v) if isinstance(v, dict) else v for k, v in config.items()}


def fresh(strategy, **options):
    """The same, booted."""
    rig = blank(strategy, **options)
    rig.boot()
    return rig


def fetch(rig, server):
    return update.drive(update.install(rig.device, server.open))


def made(kind):
    return vector("%s-24k-4096.ota" % kind)


def usual(strategy):
    """The package a device of this strategy would take for 0.2."""
    return made("place" if strategy == "inplace" else "delta")


def outside(rig):
    """Everything but the KV: contents and wear."""
    p = rig.config["partitions"]["kv"]
    contents = hashlib.sha256(memoryview(rig.nor.data)[: p["offset"]]).digest()
    return contents, rig.nor.wear[: p["offset"] // rig.nor.sector_size]


def on_trial(strategy, kind=None):
    """A rig with 0.2 on trial."""
    rig = fresh(strategy)
    rig.install(made(kind) if kind else usual(strategy))
    record = rig.boot()
    return rig, record


def confirmed(strategy, kind=None):
    rig, record = on_trial(strategy, kind)
    trial.confirm()
    return rig, rig.boot()


class Case(unittest.TestCase):
    def setUp(self):
        self.machine = trial.machine
        trial.machine = _Machine

    def tearDown(self):
        trial.machine = self.machine
        sys.modules.pop("app_that_runs", None)

    def rests(self, rig, name, data, version, reason=""):
        """The board is in a settled state: name, image, reason; boots change nothing."""
        for last in (False, True):
            r = rig.device.slots.load()
            status = ota.status()
            self.assertEqual((status["state"], status["reason"]), (name, reason))
            self.assertEqual(status["code"], errors.code(reason))
            self.assertEqual(r.image.version, version)
            self.assertEqual(status["version"], version)
            self.assertTrue(rig.runs(data), "image")
            ops = rig.nor.ops
            before = outside(rig)
            rig.boot()
            # The first boot after a write may tidy the KV up; nothing else, and once.
            self.assertTrue(before == outside(rig), "a boot writes")
            if last:
                self.assertEqual(rig.nor.ops, ops)
        return r

    def refused(self, kind, word, call, *args):
        with self.assertRaises(kind) as cm:
            call(*args)
        self.assertEqual(cm.exception.reason, word)
        return cm.exception

    def start(self, rig, main="app_that_runs"):
        """Run the start function; True if it ended in a restart."""
        rig.config["main"] = main
        sys.modules["app_that_runs"] = sys
        try:
            trial.start()
        except Restart:
            return True
        return False


def digest(data):
    return hashlib.sha256(data).digest()


def stick(nor, n):
    """Let the n-th program from now do nothing, and say nothing."""
    program = nor.program
    left = [n]

    def stuck(offset, data):
        left[0] -= 1
        if left[0]:
            program(offset, data)

    nor.program = stuck


def for_nobody():
    """(what, strategies, class, word, package bytes): refused before anything is erased."""
    for what, strategies, kind, word, package in _packages():
        yield what, strategies or STRATEGIES, kind, word, package.data()
    good = Package(TWO, None).data()
    end = sum(fmt.lengths(good))
    bad = good[: end - 1] + bytes([good[end - 1] ^ 1]) + good[end:]
    yield "signature", STRATEGIES, SignatureError, "signature", bad
    yield "magic", STRATEGIES, RejectError, "header", b"<html>" + good[6:]
    yield "format", STRATEGIES, RejectError, "format", good[:4] + b"\2" + good[5:]
    yield "lengths", STRATEGIES, RejectError, "size", good[:6] + b"\xff\xff" + good[8:]
    yield "head", STRATEGIES, TransportError, "short", good[:100]
    yield "nothing", STRATEGIES, TransportError, "short", b""


def _packages():
    order, place = ("ab", "pingpong"), ("inplace",)
    yield "product", None, PolicyError, "product", Package(TWO, None, product="toaster")
    yield "target", None, PolicyError, "target", Package(TWO, None, target="fonts")
    yield "base", order, PolicyError, "base", Package(TWO, THREE)
    yield "base", place, PolicyError, "base", Package(TWO, THREE, ordered=True)
    yield "slot", None, PolicyError, "fit", Package(noise(36 * KB + 1), None)
    package = Package(TWO, None)
    package.set(fmt.MPY, b"\x63\0")
    yield "hardware", None, PolicyError, "hardware", package
    package = Package(TWO, None)
    package.wbits = 13
    yield "window", None, PolicyError, "hardware", package
    yield "order", ("ab",), PolicyError, "strategy", Package(TWO, ONE, ordered=True)
    yield "order", place, PolicyError, "strategy", Package(TWO, ONE)
    # Blocks out of turn cannot share a sector: each would erase the others.
    package = Package(TWO, ONE, block=2048, ordered=True)
    yield "order", ("pingpong",), PolicyError, "geometry", package
    yield "block", place, PolicyError, "geometry", Package(TWO, None, block=2048)
    yield "unsigned", None, SignatureError, "key", Package(TWO, None, keys=())
    yield "unknown key", None, SignatureError, "key", Package(TWO, None, keys=(OTHER_KEY,))
    package = Package(TWO, None)
    package.set(0x8009, b"aes")
    yield "encrypted", None, RejectError, "critical", package
