import struct
import sys
from io import BytesIO

import ota
from images import vector
from ota import modules, update
from ota import package as fmt
from ota.boot import trial
from ota.errors import (
    OtaError,
    PolicyError,
    VerifyError,
)
from ota.state import record as slots
from ota.strategy import admit
from packer import Package, content, entry, manifest, noise, release
from rig import opener
from scenes import (
    ONE,
    SIZE,
    STRATEGIES,
    THREE,
    TWO,
    Case,
    Server,
    Source,
    blank,
    confirmed,
    fetch,
    for_nobody,
    fresh,
    made,
    outside,
    usual,
)
from slow import SAMPLE, some


class _Missing:
    """No module of that name is installed: neither it nor what it has inside."""

    def __init__(self, name):
        self._name = name

    def __enter__(self):
        self._firmware = modules.firmware
        self._hidden = {n: sys.modules.pop(n) for n in list(sys.modules) if self._is(n)}
        modules.firmware = self._import

    def __exit__(self, *error):
        modules.firmware = self._firmware
        sys.modules.update(self._hidden)

    def _is(self, name):
        return name[: len(self._name)] == self._name

    def _import(self, name):
        if self._is(name):
            raise ImportError(name)
        return self._firmware(name)


def filtered(package, kind=1):
    """The package with a field that asks for a pointer filter."""
    package.set(fmt.POINTERS, struct.pack("<BxHIII", kind, 4, 0, 0, 0))
    return package


class TestRefusals(Case):
    def test_package_for_somebody_else(self):
        count = 0
        for what, strategies, kind, word, data in for_nobody():
            for strategy in some(strategies):
                with self.subTest(what=what, strategy=strategy):
                    rig = fresh(strategy)
                    rig.device.mpy = 6
                    before = outside(rig)
                    self.refused(kind, word, rig.install, data)
                    self.assertTrue(before == outside(rig), "flash")
                    self.rests(rig, "IDLE", ONE, "0.1", word)
                    count += 1
        self.assertGreaterEqual(count, 15 if SAMPLE else 45)

    def test_same_while_something_can_be_rolled_back(self):
        # The image before this one stays where it is, too.
        for strategy in STRATEGIES:
            rig, _ = confirmed(strategy)
            if strategy == "inplace":
                back = Package(TWO, THREE, ordered=True).data()
                rig.install(Package(THREE, TWO, "0.3", ordered=True, behind=back).data())
            else:
                rig.install(Package(THREE, None, "0.3").data())
            rig.boot()
            trial.confirm()
            start = rig.nor.snapshot()
            for what, strategies, kind, word, data in some(for_nobody()):
                # For "order" the base is not the image that runs now.
                if what == "order" or strategy not in strategies:
                    continue
                with self.subTest(what=what, strategy=strategy):
                    rig.nor.restore(start)
                    rig.boot()
                    rig.device.mpy = 6
                    before = outside(rig)
                    # They are older, too: that is a refusal of its own, below.
                    steps = update.install(rig.device, opener(data), None, True)
                    if what == "base":
                        kind, word = PolicyError, "older"  # no patch leads down
                    self.refused(kind, word, update.drive, steps)
                    self.assertTrue(before == outside(rig), "flash")
                    trial.rollback(False)
                    rig.boot()
                    self.rests(rig, "IDLE", TWO, "0.2", "request")

    def test_package_that_is_not_newer(self):
        full, third = Package(TWO, None).data(), Package(THREE, None, "0.3").data()
        back = Package(TWO, THREE, ordered=True).data()
        patch = Package(TWO, THREE).data()
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                rig, _ = confirmed(strategy)
                rig.install(third)
                rig.boot()
                trial.confirm()
                before = outside(rig)
                # Nothing to do.
                for downgrade in (False, True):
                    steps = update.install(rig.device, opener(third), None, downgrade)
                    got = update.drive(steps)
                    self.assertEqual(got, {"result": "none", "version": "0.3"})
                for data in (
                    full, patch, back, Package(ONE, None, "0.1").data(),
                    Package(TWO, None, "0.3").data(), Package(TWO, None, "0.2.99.9").data(),
                ):  # fmt: skip
                    e = self.refused(PolicyError, "older", rig.install, data)
                    self.assertEqual((e.code, e.args[2]), (69, "0.3"))
                # No patch leads down but on the way back, and that is not for sale.
                for data in (patch, back):
                    steps = update.install(rig.device, opener(data), None, True)
                    self.refused(PolicyError, "older", update.drive, steps)
                self.assertTrue(before == outside(rig), "flash")
                self.rests(rig, "IDLE", THREE, "0.3", "older")
                done = ota.install(BytesIO(full), downgrade=True)
                self.assertEqual((done["result"], done["version"]), ("ready", "0.2"))
                rig.boot()
                trial.confirm()
                self.rests(rig, "IDLE", TWO, "0.2")

    def test_another_image_of_the_version_that_runs(self):
        rig, _ = confirmed("ab")
        data = Package(THREE, None, "0.2").data()
        self.refused(PolicyError, "older", rig.install, data)
        self.assertEqual(ota.install(BytesIO(data), downgrade=True)["result"], "ready")
        rig.boot()
        self.assertTrue(rig.runs(THREE))

    def test_where_nothing_runs_every_version_is_newer(self):
        rig = blank("ab")
        rig.config["image_size"] = 0
        rig.write("active", b"neither ROMFS nor littlefs")
        rig.boot()
        self.assertEqual(ota.status()["state"], "RESCUE")
        rig.install(Package(TWO, None, "0.0.1").data())
        rig.boot()
        self.assertTrue(rig.runs(TWO))

    def test_more_memory_than_a_board_has_for_it(self):
        for name, value in (("wbits", 9), ("block", 2048)):
            rig = blank("ab")
            rig.config[name] = value
            rig.boot()
            before = outside(rig)
            self.refused(PolicyError, "hardware", rig.install, vector("full-24k-4096.ota"))
            self.assertTrue(before == outside(rig), "flash")
            self.rests(rig, "IDLE", ONE, "0.1", "hardware")
        # Blocks as small as the memory; what is staged is never smaller than a sector.
        for strategy, package in (("ab", "delta-24k-2048"), ("pingpong", "delta-24k-4096")):
            rig = blank(strategy)
            rig.config["block"] = 2048
            rig.boot()
            rig.install(vector(package + ".ota"))
            rig.boot()
            self.assertTrue(rig.runs(TWO))

    def test_pointer_filter_that_the_board_does_not_have(self):
        names = "thumb", "riscv", "xtensa"
        for strategy in STRATEGIES:
            for kind, name in enumerate(names, 1):
                for missing in ("ota.delta.pointers." + name, "ota.delta.pointers"):
                    with self.subTest(strategy=strategy, missing=missing):
                        rig = fresh(strategy)
                        before = outside(rig)
                        package = Package(TWO, ONE, ordered=strategy == "inplace")
                        data = filtered(package, kind).data()
                        with _Missing(missing):
                            e = self.refused(PolicyError, "hardware", rig.install, data)
                        self.assertEqual((e.code, e.args[1]), (64, kind))
                        self.assertTrue(before == outside(rig), "flash")
                        self.rests(rig, "IDLE", ONE, "0.1", "hardware")
                        # The others are nothing that this package needs.
                        with _Missing("ota.delta.pointers." + names[kind % 3]):
                            record = rig.device.slots.load()
                            admit(rig.device, record, fmt.parse(package.head()))

    def test_reverse_package_whose_filter_the_board_does_not_have(self):
        back = filtered(Package(ONE, TWO, "0.1", ordered=True)).data()
        data = Package(TWO, ONE, ordered=True, behind=back).data()
        for missing, previous in (("ota.delta.pointers.thumb", slots.NONE), ("ota.none", 2)):
            rig = fresh("inplace")
            rig.install(data)
            with _Missing(missing):
                rig.boot()
                r = self.rests(rig, "TRIAL", TWO, "0.2")
            self.assertEqual(r.previous, previous)

    def test_package_larger_than_the_ota_partition(self):
        for strategy in ("pingpong", "inplace"):
            with self.subTest(strategy=strategy):
                rig = blank(strategy)
                rig.config["partitions"]["ota"]["size"] = 7 * 4096
                rig.boot()
                before = outside(rig)
                self.refused(PolicyError, "fit", rig.install, Package(noise(SIZE), None).data())
                self.assertTrue(before == outside(rig), "flash")
                self.rests(rig, "IDLE", ONE, "0.1", "fit")
                rig.install(usual(strategy))
                rig.boot()
                self.rests(rig, "TRIAL", TWO, "0.2")

    def test_reverse_package_that_does_not_fit_is_left_out(self):
        rig = blank("inplace")
        rig.config["partitions"]["ota"]["size"] = 4 * 4096
        rig.boot()
        rig.install(made("place"))
        rig.boot()
        r = self.rests(rig, "TRIAL", TWO, "0.2")
        self.assertEqual(r.previous, slots.NONE)

    def test_damaged_payload(self):
        good = Package(TWO, None).data()
        start = sum(fmt.lengths(good))
        for strategy in STRATEGIES:
            for place in (start, start + 40, len(good) // 2, len(good) - 1):
                with self.subTest(strategy=strategy, place=place):
                    rig = fresh(strategy)
                    bad = bytearray(good)
                    bad[place] ^= 1
                    with self.assertRaises(VerifyError) as cm:
                        rig.install(bytes(bad))
                    word = cm.exception.reason
                    self.assertIn(word, ("chain", "chunk"))
                    self.rests(rig, "IDLE", ONE, "0.1", word)
                    # The right one is taken afterwards.
                    rig.install(good)
                    rig.boot()
                    self.rests(rig, "TRIAL", TWO, "0.2")

    def test_image_that_is_not_the_promised_one(self):
        lie = Package(TWO, None)
        lie.set(fmt.IMAGE, struct.pack("<I32s", len(TWO), b"?" * 32))
        rig = fresh("ab")
        self.refused(VerifyError, "digest", rig.install, lie.data())
        self.rests(rig, "IDLE", ONE, "0.1", "digest")
        # The boot stage has a whole backup when it finds out.
        rig = fresh("pingpong")
        rig.install(lie.data())
        rig.boot()
        self.rests(rig, "IDLE", ONE, "0.1", "digest")

    def test_payload_that_does_not_decode(self):
        # Signed and chained, but broken in its last block: found out in time.
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                rig = fresh(strategy)
                bad = Package(TWO, None)
                bad.chunks[-1].stored = b"\x07" + bad.chunks[-1].stored[1:]
                active = rig.nor.wear[:9]
                if strategy == "ab":
                    self.refused(VerifyError, "inflate", rig.install, bad.data())
                else:
                    rig.install(bad.data())
                    rig.boot()
                self.rests(rig, "IDLE", ONE, "0.1", "inflate")
                if strategy != "pingpong":
                    self.assertEqual(rig.nor.wear[:9], active)

    def test_manifest_and_package_must_belong_together(self):
        good = Package(TWO, None)
        data = good.data()
        for what, kind, word, change in (
            ("another package", VerifyError, "digest", Package(TWO, None, floor=1).data()),
            ("longer", VerifyError, "digest", {"size": len(data) + 1}),
            ("version", PolicyError, "version", {"version": "0.3"}),
            ("floor", PolicyError, "version", {"floor": 1}),
            ("image", PolicyError, "version", {"image": THREE}),
        ):
            with self.subTest(what=what):
                rig = fresh("ab")
                more = change if isinstance(change, dict) else {}
                e = entry("p", data)
                e["size"] = more.get("size", e["size"])
                r = release(
                    more.get("version", "0.2"), more.get("image", TWO), [e], more.get("floor", 0)
                )
                served = data if isinstance(change, dict) else change
                before = outside(rig)
                source = Source(manifest(content([r])), {"p": served})
                self.refused(kind, word, update.drive, update.run(rig.device, source))
                self.assertTrue(before == outside(rig), "flash")
                self.rests(rig, "IDLE", ONE, "0.1", word)

    def test_readers_are_closed_whatever_happens(self):
        good = Package(TWO, None).data()
        bad = bytearray(good)
        bad[-1] ^= 1
        for strategy in STRATEGIES:
            for data, limit in ((good, 1 << 30), (good, 5000), (good, 50), (bytes(bad), 1 << 30)):
                with self.subTest(strategy=strategy, limit=limit):
                    rig = fresh(strategy)
                    server = Server(data, limit)
                    try:
                        fetch(rig, server)
                    except OtaError:
                        pass
                    self.assertEqual(server.closed, len(server.offsets))
