import ota
from ota import state, update
from ota.boot import trial
from ota.errors import (
    PolicyError,
    StateError,
)
from ota.state import record as slots
from packer import Package
from scenes import (
    ONE,
    STRATEGIES,
    THREE,
    TWO,
    Case,
    Restart,
    Source,
    confirmed,
    digest,
    fresh,
    on_trial,
    outside,
    usual,
)


class TestTrial(Case):
    def test_three_tries_then_back(self):
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                rig, _ = on_trial(strategy)
                for left in (2, 1, 0):
                    self.assertFalse(self.start(rig))
                    self.assertEqual(rig.device.slots.load().tries, left)
                    self.assertEqual(rig.boot().state, state.TRIAL)
                self.assertTrue(self.start(rig))
                rig.boot()
                self.rests(rig, "IDLE", ONE, "0.1", "tries")

    def test_boots_alone_use_up_no_try(self):
        rig, _ = on_trial("ab")
        for _ in range(5):
            self.assertEqual(rig.boot().tries, 3)

    def test_exception_restarts_and_goes_back_at_last(self):
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                rig, _ = on_trial(strategy)
                for _ in range(3):
                    self.assertTrue(self.start(rig, "app_that_is_not_there"))
                    self.assertEqual(rig.boot().state, state.TRIAL)
                    self.assertEqual(ota.status()["reason"], "exception")
                self.assertTrue(self.start(rig, "app_that_is_not_there"))
                rig.boot()
                self.rests(rig, "IDLE", ONE, "0.1", "exception")

    def test_confirmed_application_may_raise(self):
        rig, _ = confirmed("ab")
        with self.assertRaises(ImportError):
            self.start(rig, "app_that_is_not_there")
        self.rests(rig, "IDLE", TWO, "0.2")

    def test_start_after_confirm_writes_nothing(self):
        rig, _ = confirmed("ab")
        ops = rig.nor.ops
        self.assertFalse(self.start(rig))
        self.assertEqual(rig.nor.ops, ops)

    def test_confirm_keeps_the_tries_out_of_it(self):
        rig, _ = on_trial("ab")
        self.start(rig)
        trial.confirm()
        for _ in range(5):
            self.assertFalse(self.start(rig))
            rig.boot()
        self.rests(rig, "IDLE", TWO, "0.2")

    def test_rollback_on_request(self):
        for strategy in STRATEGIES:
            for confirm in (False, True):
                with self.subTest(strategy=strategy, confirm=confirm):
                    rig, _ = confirmed(strategy) if confirm else on_trial(strategy)
                    with self.assertRaises(Restart):
                        trial.rollback()
                    rig.boot()
                    r = self.rests(rig, "IDLE", ONE, "0.1", "request")
                    self.assertEqual((r.previous, r.seen), (slots.NONE, digest(TWO)[:8]))
                    # There is nothing before the one before.
                    self.refused(StateError, "none", trial.rollback)
                    self.rests(rig, "IDLE", ONE, "0.1", "request")

    def test_nothing_to_roll_back_to(self):
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                rig = fresh(strategy)
                self.refused(StateError, "none", trial.rollback)
                rig.install(usual(strategy))
                self.refused(StateError, "state", trial.rollback)
        rig, _ = on_trial("inplace", "full")
        self.refused(StateError, "none", trial.rollback)

    def test_rollback_to_what_is_damaged_keeps_the_image_that_runs(self):
        # On request nobody is in need: a way back that is broken is not taken.
        for strategy, name in (("ab", "active"), ("pingpong", "backup"), ("inplace", "ota")):
            with self.subTest(strategy=strategy):
                rig, _ = confirmed(strategy)
                at = rig.config["partitions"][name]["offset"]
                if name == "ota":
                    at += 4096  # the reverse package
                rig.nor.data[at + 200] ^= 1
                try:
                    trial.rollback(False)
                except StateError as e:
                    self.assertEqual(e.reason, "none")
                rig.boot()
                status = ota.status()
                self.assertEqual((status["state"], status["version"]), ("IDLE", "0.2"))
                self.assertTrue(rig.runs(TWO))

    def test_damaged_slot_on_trial_goes_back(self):
        for strategy in STRATEGIES:
            for place in (0, 9999, len(TWO) - 1):
                with self.subTest(strategy=strategy, place=place):
                    rig, r = on_trial(strategy)
                    name = "backup" if r.active else "active"
                    rig.nor.data[rig.config["partitions"][name]["offset"] + place] ^= 0x40
                    rig.boot()
                    if strategy != "inplace":
                        self.rests(rig, "IDLE", ONE, "0.1", "digest")
                        continue
                    # The reverse package needs what is damaged.
                    self.rests(rig, "RESCUE", b"", "", "digest")

    def test_update_on_trial_is_refused(self):
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                rig, _ = on_trial(strategy)
                ops = rig.nor.ops
                data = Package(THREE, None, "0.3").data()
                self.refused(StateError, "trial", rig.install, data)
                done = update.drive(update.run(rig.device, Source(b"")))
                self.assertEqual(done, {"result": "trial", "version": "0.2"})
                self.assertEqual(rig.nor.ops, ops)
                self.rests(rig, "TRIAL", TWO, "0.2")

    def test_floor_is_raised_at_confirm_alone(self):
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                rig = fresh(strategy)
                rig.install(Package(TWO, None, "0.2", floor=5).data())
                rig.boot()
                self.assertEqual(ota.status()["floor"], 0)
                trial.confirm()
                self.assertEqual(ota.status()["floor"], 5)
                before = outside(rig)
                low = Package(THREE, None, "0.3", floor=4).data()
                self.refused(PolicyError, "floor", rig.install, low)
                self.rests(rig, "IDLE", TWO, "0.2", "floor")
                self.assertTrue(before == outside(rig))
                # 0.1 is below the floor now: no way back.
                self.refused(StateError, "none", trial.rollback)
                rig.install(Package(THREE, None, "0.3", floor=5).data())
                rig.boot()
                self.rests(rig, "TRIAL", THREE, "0.3")

    def test_staged_by_hand_below_the_floor(self):
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                rig = fresh(strategy)
                rig.install(Package(TWO, None, "0.2", floor=5).data())
                rig.boot()
                trial.confirm()
                rig.write("ota", Package(THREE, None, "0.3", floor=4).data())
                rig.boot()
                self.rests(rig, "IDLE", TWO, "0.2", "floor")
