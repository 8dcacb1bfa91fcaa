"""What an update leaves behind when it asks again, fails or is refused."""

import unittest

from images import vector
from ota import state, update
from ota.errors import OtaError, TransportError, code
from ota.transport.memory import Memory
from rig import Rig


class Way:
    """open_at over bytes that counts readers; fail: offset at which the connection breaks."""

    def __init__(self, data, fail=None):
        self.data = data
        self.fail = fail
        self.offsets = []
        self.opened = 0

    def open(self, offset):
        yield None
        self.offsets.append(offset)
        self.opened += 1
        return Reader(self, offset)


class Reader(Memory):
    def __init__(self, way, offset):
        super().__init__(way.data, offset)
        self.way = way
        self.at = offset
        self.closed = False

    def readinto(self, buf):
        if self.way.fail is not None and self.at >= self.way.fail:
            raise TransportError("short", self.at)
        n = super().readinto(buf)
        self.at += n
        return n

    def close(self):
        if not self.closed:
            self.closed = True
            self.way.opened -= 1


class Asks:
    """A source whose manifest cannot be had."""

    def check(self):
        yield None
        raise TransportError("connect")

    def close(self):
        """Nothing is open."""


def install(rig, way):
    return update.drive(update.install(rig.device, way.open))


class Ask(unittest.TestCase):
    def test_one_connection_for_a_whole_package(self):
        for strategy, name in (("ab", "delta"), ("pingpong", "delta"), ("inplace", "place")):
            with self.subTest(strategy):
                rig = Rig(strategy)
                rig.boot()
                way = Way(vector(name + "-24k-4096.ota"))
                self.assertEqual(install(rig, way)["result"], "ready")
                # One reader goes through the package, the reverse package behind it too.
                self.assertEqual(way.offsets, [0])
                self.assertEqual(way.opened, 0)

    def test_what_is_refused_is_closed(self):
        rig = Rig("ab")
        rig.boot()
        broken = bytearray(vector("full-24k-4096.ota"))
        broken[-1] ^= 1
        for data in (broken, vector("place-24k-4096.ota")):
            way = Way(data)
            with self.assertRaises(OtaError):
                install(rig, way)
            self.assertEqual(way.opened, 0)

    def test_a_stopped_update_closes_its_connection(self):
        rig = Rig("ab")
        rig.boot()
        way = Way(vector("full-24k-4096.ota"))
        steps = update.install(rig.device, way.open)
        while not way.opened:
            next(steps)
        steps.close()
        self.assertEqual(way.opened, 0)

    def test_the_same_answer_is_written_once(self):
        rig = Rig("ab")
        rig.boot()
        for n in range(3):
            ops = rig.nor.ops
            with self.assertRaises(TransportError):
                update.drive(update.run(rig.device, Asks()))
            self.assertEqual(rig.device.slots.load().reason, code("connect"))
            self.assertEqual(rig.nor.ops > ops, n == 0)

    def test_a_server_that_is_away_does_not_hide_a_refusal(self):
        rig = Rig("ab")
        rig.boot()
        with self.assertRaises(OtaError):
            install(rig, Way(vector("place-24k-4096.ota")))
        record = rig.device.slots.load()
        self.assertEqual(record.reason, code("strategy"))
        with self.assertRaises(TransportError):
            update.drive(update.run(rig.device, Asks()))
        self.assertEqual(rig.device.slots.load().reason, code("strategy"))

    def test_a_broken_download_goes_on(self):
        rig = Rig("ab", 130 * 1024)
        rig.boot()
        data = vector("full-130k-4096.ota")
        way = Way(data, len(data) // 2)
        with self.assertRaises(TransportError):
            install(rig, way)
        self.assertEqual(way.opened, 0)
        self.assertEqual(rig.device.slots.load().state, state.FETCH)
        way.fail = None
        self.assertEqual(install(rig, way)["result"], "ready")


if __name__ == "__main__":
    unittest.main()
