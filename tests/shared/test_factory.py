"""The factory image: put back on request, by a pin, or when nothing else may run."""

import sys

import ota
from ota import boot, device, errors, state
from ota.boot import factory, trial
from ota.boot import outcome as verdict
from ota.errors import FlashError, OtaError, PolicyError, StateError
from packer import OTHER_KEY, Package
from rig import Rig
from scenes import ONE, SIZE, STRATEGIES, THREE, TWO, Case, digest, made, outside, usual
from watched import lie, place

FACTORY = Package(THREE, None, version="0.0.9").data()


def rig_with(strategy, package=FACTORY):
    device.current = None
    rig = Rig(strategy, SIZE, factory=package)
    rig.boot()
    return rig


def slots(rig):
    n = len(THREE)
    return [rig.read(name, n) for name in ("active", "backup") if name in rig.config["partitions"]]


class TestRequest(Case):
    def test_request_puts_it_back_and_keeps_what_is_the_users(self):
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                rig = rig_with(strategy)
                rig.device.kv.set("mine", b"kept")
                rig.install(usual(strategy))
                rig.boot()
                trial.confirm()
                r = rig.device.slots.load()
                r.sequence = 7
                rig.device.slots.save(r)
                ota.restore(reset=False)
                self.assertEqual(ota.status()["state"], "RESCUE")
                self.assertEqual(rig.boot().state, state.IDLE)
                r = self.rests(rig, "IDLE", THREE, "0.0.9", "restore")
                self.assertEqual(rig.device.kv.get("mine"), b"kept")
                self.assertEqual((r.sequence, r.previous), (7, 255))

    def test_request_restarts(self):
        rig = rig_with("ab")
        with self.assertRaises(BaseException) as cm:
            ota.restore()
        self.assertEqual(type(cm.exception).__name__, "Restart")
        self.assertEqual(rig.device.slots.load().state, state.RESCUE)

    def test_forget_deletes_the_users_keys_alone(self):
        rig = rig_with("pingpong")
        rig.device.kv.set("mine", b"gone")
        rig.device.kv.set("too", b"")
        ota.restore(forget=True, reset=False)
        rig.boot()
        self.assertEqual([k for k in rig.device.kv.keys() if k[:4] != "ota."], [])
        self.assertTrue("ota.app" in rig.device.kv.keys())
        self.rests(rig, "IDLE", THREE, "0.0.9", "restore")

    def test_in_a_trial_too(self):
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                rig = rig_with(strategy)
                rig.install(usual(strategy))
                self.assertEqual(rig.boot().state, state.TRIAL)
                ota.restore(reset=False)
                rig.boot()
                self.rests(rig, "IDLE", THREE, "0.0.9", "restore")

    def test_ab_keeps_the_slot_that_ran(self):
        rig = rig_with("ab")
        ota.restore(reset=False)
        self.assertEqual(rig.boot().active, 1)
        self.assertEqual(rig.read("active", len(ONE)), ONE)

    def test_a_package_that_lies_about_is_not_meant(self):
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                rig = rig_with(strategy)
                rig.write("ota", made("full"))
                ota.restore(reset=False)
                self.assertEqual(rig.boot().image.version, "0.0.9")

    def test_an_update_comes_after_it(self):
        rig = rig_with("pingpong")
        ota.restore(reset=False)
        rig.boot()
        rig.install(made("full"))
        self.assertEqual(rig.boot().state, state.TRIAL)
        self.assertTrue(rig.runs(TWO))


class TestRefused(Case):
    def test_nothing_to_go_back_to(self):
        rig = rig_with("ab", b"")
        before = rig.nor.ops
        self.refused(StateError, "none", ota.restore, False, False)
        self.assertEqual(rig.nor.ops, before)
        rig.boot()
        self.rests(rig, "IDLE", ONE, "0.1")

    def test_a_bad_one_is_refused_before_anything_is_written(self):
        flipped = bytearray(FACTORY)
        flipped[-9] ^= 1
        cases = (
            ("product", Package(THREE, None, product="toaster").data()),
            ("target", Package(THREE, None, target="fonts").data()),
            ("base", Package(THREE, ONE).data()),
            ("fit", Package(ONE * 3, None).data()),
            ("key", Package(THREE, None, keys=(OTHER_KEY,)).data()),
            ("truncated", bytes(flipped)),
            ("header", b"\0" * 300),
        )
        for strategy in STRATEGIES:
            for word, package in cases:
                with self.subTest(strategy=strategy, word=word):
                    rig = rig_with(strategy, package)
                    ops = rig.nor.ops
                    with self.assertRaises(OtaError) as cm:
                        ota.restore(False, False)
                    self.assertEqual(cm.exception.reason, word)
                    self.assertEqual(rig.nor.ops, ops)

    def test_one_that_fits_one_slot_alone(self):
        # With ab it may have to go into either.
        rig = rig_with("ab")
        for name in ("active", "backup"):
            size = rig.config["partitions"][name]["size"]
            rig.config["partitions"][name]["size"] = 24 * 1024
            device.current = rig.device = device.Device(rig.config)
            ops = rig.nor.ops
            self.refused(PolicyError, "fit", ota.restore, False, False)
            self.assertEqual(rig.nor.ops, ops)
            rig.config["partitions"][name]["size"] = size

    def test_one_that_went_bad_meanwhile_leaves_rescue_with_the_reason(self):
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                rig = rig_with(strategy)
                ota.restore(reset=False)
                bad = bytearray(FACTORY)
                bad[200] ^= 1
                rig.write("factory", bytes(bad))
                r = rig.boot()
                self.assertEqual(r.state, state.RESCUE)
                self.assertIn(errors.word(r.reason), ("signature", "truncated", "field"))
                before = outside(rig)
                ops = rig.nor.ops
                self.assertEqual(rig.boot().reason, r.reason)
                self.assertEqual((outside(rig), rig.nor.ops), (before, ops))
                # A package by hand is the way out now.
                rig.write("ota", made("full"))
                self.assertEqual(rig.boot().state, state.TRIAL)

    def test_a_chip_that_refuses_is_tried_again_at_the_next_boot(self):
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                rig = rig_with(strategy)
                ota.restore(reset=False)
                nor, real = rig.nor, rig.nor.erase

                def broken(offset, n, real=real, rig=rig):
                    if offset < rig.config["partitions"]["ota"]["offset"]:
                        raise OSError(5)
                    real(offset, n)

                nor.erase = broken
                self.assertEqual(rig.boot().state, state.RESCUE)
                self.assertEqual(ota.status()["reason"], "io")
                del nor.erase
                rig.boot()
                self.rests(rig, "IDLE", THREE, "0.0.9", "io")


class TestNothingElse(Case):
    def test_an_empty_slot_at_the_first_start(self):
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                device.current = None
                rig = Rig(strategy, SIZE, factory=FACTORY)
                rig.write("active", b"\xff" * SIZE)
                del rig.config["image_size"]
                rig.boot()
                self.rests(rig, "IDLE", THREE, "0.0.9", "empty")

    def test_an_image_given_up_that_has_no_way_back(self):
        rig = rig_with("inplace")
        rig.install(made("full"))
        self.assertEqual(rig.boot().state, state.TRIAL)
        for _ in range(3):
            self.assertFalse(self.start(rig))
        self.assertTrue(self.start(rig))
        rig.boot()
        r = self.rests(rig, "IDLE", THREE, "0.0.9", "tries")
        self.assertEqual(r.seen, digest(TWO)[:8])

    def test_a_package_by_hand_goes_first(self):
        rig = rig_with("pingpong")
        r = rig.device.slots.load()
        r.reason = errors.code("digest")
        verdict.rescue(rig.device, r)
        rig.write("ota", made("full"))
        self.assertEqual(rig.boot().state, state.TRIAL)
        self.assertTrue(rig.runs(TWO))


class TestFloor(Case):
    def raised(self, **config):
        rig = rig_with("pingpong")
        r = rig.device.slots.load()
        r.floor = 5
        rig.device.slots.save(r)
        rig.config.update(config)
        ota.restore(reset=False)
        rig.boot()
        return rig

    def test_below_the_floor_it_only_updates(self):
        rig = self.raised(rescue="the_rescue", main="no_such_module")
        sys.modules["the_rescue"] = sys
        try:
            trial.start()  # "main" is not imported: there is none
        finally:
            del sys.modules["the_rescue"]
        self.assertEqual((rig.device.slots.load().floor, ota.status()["state"]), (5, "IDLE"))

    def test_without_a_rescue_module_nothing_runs(self):
        self.raised(main="sys")
        e = self.refused(StateError, "rescue", trial.start)
        self.assertEqual(e.args[1], errors.code("restore"))

    def test_above_the_floor_it_runs_like_any_other(self):
        rig = rig_with("ab", Package(THREE, None, version="0.0.9", floor=5).data())
        r = rig.device.slots.load()
        r.floor = 5
        rig.device.slots.save(r)
        ota.restore(reset=False)
        rig.boot()
        with self.assertRaises(ImportError):
            rig.config["main"] = "no_such_module"
            trial.start()

    def test_where_no_image_may_run_the_rescue_module_does(self):
        rig = rig_with("ab", b"")
        verdict.rescue(rig.device, rig.device.slots.load())
        rig.boot()
        self.refused(StateError, "rescue", trial.start)
        rig.config["rescue"] = "no_such_module"
        with self.assertRaises(ImportError):
            trial.start()


class _Pin:
    IN, PULL_UP, PULL_DOWN = 0, 1, 2
    made = []
    levels = []

    def __init__(self, pin, mode, pull):
        self.made.append((pin, mode, pull))

    def value(self):
        return self.levels.pop(0) if len(self.levels) > 1 else self.levels[0]


class _Chip:
    Pin = _Pin


class TestPin(Case):
    def setUp(self):
        Case.setUp(self)
        self.chip = sys.modules.get("machine")
        sys.modules["machine"] = _Chip
        _Pin.made.clear()

    def tearDown(self):
        if self.chip is None:
            del sys.modules["machine"]
        else:
            sys.modules["machine"] = self.chip
        Case.tearDown(self)

    def start_with(self, rig, levels, **spec):
        """A start with the pin reading levels one after the other, the last one for ever."""
        _Pin.levels[:] = levels
        rig.config["restore_pin"] = dict(pin=4, ms=30, **spec)
        rig.device = boot.run(rig.config)
        return rig.device.slots.load()

    def test_held(self):
        rig = rig_with("pingpong")
        self.assertEqual(self.start_with(rig, [0]).state, state.IDLE)
        self.assertEqual(_Pin.made, [(4, _Pin.IN, _Pin.PULL_UP)])
        self.rests(rig, "IDLE", THREE, "0.0.9", "restore")
        # Stuck: nothing is written any more.
        before = outside(rig)
        self.start_with(rig, [0])
        self.assertEqual(outside(rig), before)

    def test_a_pin_that_is_none_is_told(self):
        rig = rig_with("pingpong")
        for spec in ({}, 4, {"level": 1}, None):
            rig.config["restore_pin"] = spec
            with self.assertRaises(FlashError) as got:
                boot.run(rig.config)
            self.assertEqual(got.exception.args, ("config", "restore_pin"))

    def test_held_where_the_slot_was_damaged(self):
        rig = rig_with("inplace")
        self.start_with(rig, [0])
        rig.write("active", ONE)
        self.start_with(rig, [0])
        self.rests(rig, "IDLE", THREE, "0.0.9", "restore")

    def test_not_held_or_let_go(self):
        for levels in ([1], [0, 0, 1], [0, 1, 0]):
            with self.subTest(levels=levels):
                rig = rig_with("ab")
                ops = rig.nor.ops
                self.assertEqual(self.start_with(rig, levels).image.version, "0.1")
                self.assertEqual(rig.nor.ops, ops)

    def test_other_level(self):
        rig = rig_with("inplace")
        self.assertEqual(self.start_with(rig, [0], level=1).image.version, "0.1")
        self.assertEqual(self.start_with(rig, [1], level=1).image.version, "0.0.9")
        self.assertEqual(_Pin.made[-1], (4, _Pin.IN, _Pin.PULL_DOWN))

    def test_held_without_a_good_one(self):
        rig = rig_with("pingpong", Package(THREE, None, product="toaster").data())
        r = self.start_with(rig, [0])
        self.assertEqual((r.state, errors.word(r.reason)), (state.IDLE, "product"))
        self.assertTrue(rig.runs(ONE))

    def test_in_the_midst_of_an_apply(self):
        rig = rig_with("pingpong")
        rig.install(usual("pingpong"))
        r = rig.device.slots.load()
        r.state = state.APPLY
        rig.device.slots.save(r)
        self.start_with(rig, [0])
        self.rests(rig, "IDLE", THREE, "0.0.9", "restore")


class TestParts(Case):
    def test_no_record_no_request(self):
        device.current = None
        rig = Rig("ab", SIZE, factory=FACTORY)
        d = device.Device(rig.config)
        self.refused(StateError, "none", factory.request, d)

    def test_slots_hold_what_they_held_after_a_refusal(self):
        rig = rig_with("ab", Package(THREE, None, product="toaster").data())
        before = slots(rig)
        with self.assertRaises(OtaError):
            ota.restore(False, False)
        self.assertEqual(slots(rig), before)


class TestSteps(Case):
    def _rig(self, package):
        device.current = None
        rig = Rig("pingpong", SIZE, factory=package)
        rig.boot()
        return rig

    def test_image_that_is_not_the_promised_one(self):
        rig = self._rig(lie())
        ota.restore(reset=False)
        rig.boot()
        self.assertEqual((ota.status()["state"], ota.status()["reason"]), ("RESCUE", "digest"))

    def test_slot_that_loses_what_was_written_to_it(self):
        rig = self._rig(Package(TWO, None).data())
        ota.restore(reset=False)
        program = rig.nor.program

        def decay(offset, data):
            program(offset, data)
            if 16384 <= offset < 20480:
                rig.nor.data[9] ^= 1

        rig.nor.program = decay
        rig.boot()
        del rig.nor.program
        self.assertEqual((ota.status()["state"], ota.status()["reason"]), ("RESCUE", "digest"))
        rig.boot()
        self.rests(rig, "IDLE", TWO, "0.2", "digest")

    def test_why_nothing_runs_is_kept(self):
        rig = self._rig(Package(TWO, None).data())
        rig.install(Package(THREE, None, "0.3").data())
        rig.boot()
        rig.nor.data[place(rig, "factory", 9999)] ^= 1
        for name in ("active", "backup"):
            rig.nor.data[place(rig, name, 9999)] ^= 1
        rig.boot()
        self.rests(rig, "RESCUE", b"", "", "digest")

    def test_image_that_is_not_the_promised_one_wears_nothing(self):
        rig = self._rig(lie())
        ota.restore(reset=False)
        wear = list(rig.nor.wear)
        first = rig.config["partitions"]["ota"]["offset"] // rig.nor.sector_size
        for _ in range(3):
            rig.boot()
        self.assertEqual(rig.nor.wear[:first], wear[:first])
