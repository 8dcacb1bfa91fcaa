"""What an update leaves behind when it asks again, fails or is refused."""

import unittest
from io import BytesIO

import fakenet  # noqa: F401  (before the client: a build without sockets gets some)
import ota
from images import vector
from ota import state, update
from ota.errors import OtaError, StateError, TransportError, code
from ota.source import settings
from ota.state import failure
from ota.transport.stream import Memory
from rig import Rig


class Way:
    """open_at over bytes that counts readers; fail: offset at which the connection breaks."""

    def __init__(self, data, fail=None):
        self.data = data
        self.fail = fail
        self.offsets = []
        self.opened = 0
        self.error = None

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
            raise self.way.error or TransportError("short", self.at)
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

    def test_memory_that_runs_out_is_an_error_with_a_code(self):
        # Wherever it does: nothing is lost, nothing stays open, the buffers are given back.
        class Short(Asks):
            closed = 0

            def check(self):
                yield None
                raise MemoryError

            def close(self):
                self.closed += 1

        rig = Rig("ab", 130 * 1024)
        rig.boot()
        source = Short()
        for n in range(2):
            ops = rig.nor.ops
            with self.assertRaises(StateError) as cm:
                update.drive(update.run(rig.device, source))
            self.assertEqual((cm.exception.reason, cm.exception.code), ("memory", 111))
            self.assertEqual(rig.device.slots.load().reason, 111)
            self.assertEqual(rig.nor.ops > ops, n == 0)  # noted once
            self.assertEqual((source.closed, rig.device._block), (n + 1, None))
        # Half of a package stays, too.
        data = vector("full-130k-4096.ota")
        way = Way(data, len(data) // 2)
        way.error = MemoryError()
        with self.assertRaises(StateError):
            install(rig, way)
        self.assertEqual((way.opened, rig.device._block), (0, None))
        self.assertEqual(rig.device.slots.load().state, state.FETCH)
        # Nor does it hide why an image was given up, or an update was refused.
        record = rig.device.slots.load()
        record.reason = code("tries")
        rig.device.slots.save(record)
        with self.assertRaises(StateError):
            update.drive(update.run(rig.device, source))
        self.assertEqual(rig.device.slots.load().reason, code("tries"))
        way.fail = None
        self.assertEqual(install(rig, way)["result"], "ready")

    def test_memory_that_is_too_short_even_to_note_it(self):
        rig = Rig("ab")
        rig.boot()

        def short(*args):
            raise MemoryError

        rig.device.slots.load = short
        with self.assertRaises(StateError) as cm:
            update.drive(update.run(rig.device, Asks()))
        self.assertEqual(cm.exception.reason, "memory")

    def test_the_face_knows_no_memory_error(self):
        rig = Rig("ab")
        rig.boot()
        rig.config["url"] = rig.config["package_url"] = "http://h/m"

        def short(device):
            raise MemoryError

        before, settings.options = settings.options, short
        try:
            for call in (ota.check_and_update, ota.steps, ota.install_url):
                with self.assertRaises(StateError) as cm:
                    call()
                self.assertEqual(cm.exception.reason, "memory")
        finally:
            settings.options = before

    def test_memory_that_runs_out_loads_nothing_more(self):
        rig = Rig("ab")
        rig.boot()
        rig.config["url"] = "http://h/m"

        def short(*args):
            raise StateError("memory")

        def none(device, error):
            raise MemoryError

        before = update.finish, failure.answer
        update.finish, failure.answer = short, none
        try:
            with self.assertRaises(StateError) as cm:
                ota.check_and_update()
            self.assertEqual(cm.exception.reason, "memory")
        finally:
            update.finish, failure.answer = before

    def test_what_only_takes_time_is_a_result(self):
        rig = Rig("ab")
        rig.boot()
        data = vector("full-24k-4096.ota")
        got = ota.install(BytesIO(data[:5000]))
        self.assertEqual((got["result"], got["version"], got["reason"]), ("later", "0.1", "short"))
        self.assertTrue(isinstance(got["error"], TransportError))
        self.assertEqual(ota.install(BytesIO(data))["result"], "ready")
        rig.boot()
        want = {"result": "trial", "version": "0.2"}
        self.assertEqual(ota.install(BytesIO(data)), want)
        self.assertEqual(update.drive(update.run(rig.device, Asks())), want)
        rig.config["url"] = "http://127.0.0.1:1/m"
        self.assertEqual(ota.check_and_update(reset=True), want)  # nobody was asked
        ota.confirm()
        with self.assertRaises(OtaError) as cm:
            ota.install(BytesIO(b"<html>" * 9))
        self.assertEqual(cm.exception.reason, "header")


if __name__ == "__main__":
    unittest.main()
