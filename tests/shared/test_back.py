"""Going back: what random cuts seldom reach, each with one protective step."""

import ota
from nor import PowerCut
from ota import state, update
from ota.boot import trial
from ota.errors import StateError, TransportError
from ota.state import record as slots
from packer import Package
from scenes import (
    ONE,
    STRATEGIES,
    THREE,
    TWO,
    Case,
    Restart,
    Server,
    Source,
    confirmed,
    fetch,
    on_trial,
)
from watched import moves_during, operations, place


class TestGoingBack(Case):
    def test_chip_that_refuses_once(self):
        for strategy in ("pingpong", "inplace"):
            rig, _ = on_trial(strategy)
            trial.rollback(False)
            base = rig.nor.snapshot()
            for n in range(1, operations(rig, rig.boot), 2):
                with self.subTest(strategy=strategy, n=n):
                    rig.nor.restore(base)
                    rig.nor.cut_at(n, "error")
                    rig.boot()
                    rig.nor.cut_at(None)
                    self.assertEqual(ota.status()["state"], "IDLE")
                    self.assertEqual(ota.status()["reason"], "request")
                    self.assertTrue(rig.runs(ONE))

    def test_block_that_decays_in_the_midst(self):
        for strategy in ("pingpong", "inplace"):
            with self.subTest(strategy=strategy):
                rig, _ = on_trial(strategy)
                trial.rollback(False)
                base = rig.nor.snapshot()
                erases = rig.nor.wear[:7]
                for n in range(2, operations(rig, rig.boot)):
                    rig.nor.restore(base)
                    rig.nor.cut_at(n, "after")
                    self.assertRaises(PowerCut, rig.boot)
                    rig.nor.power_on()
                    done = [i for i in range(7) if rig.nor.wear[i] > erases[i]]
                    if len(done) > 2:
                        break
                rig.nor.data[done[0] * 4096 + 99] ^= 1
                rig.boot()
                self.assertEqual(ota.status()["state"], "RESCUE")

    def test_way_that_leads_nowhere_is_not_begun(self):
        rig, _ = on_trial("pingpong")
        trial.rollback(False)
        rig.nor.data[place(rig, "backup", 9999)] ^= 1
        active = rig.nor.wear[:9]
        rig.boot()
        self.assertEqual(ota.status()["state"], "RESCUE")
        self.assertEqual(rig.nor.wear[:9], active)

    def test_image_below_the_floor_is_no_way_back(self):
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                rig, record = on_trial(strategy)
                record.floor = record.image.floor = 1
                rig.device.slots.save(record)
                for _ in range(3):
                    self.start(rig)
                self.assertFalse("BACK" in moves_during(self.start, rig))
                self.assertEqual(ota.status()["state"], "RESCUE")

    def test_half_received_nothing_older_is_left(self):
        data = Package(THREE, None, "0.3").data()
        for strategy in ("ab", "inplace"):
            with self.subTest(strategy=strategy):
                rig, record = confirmed(strategy)
                self.assertNotEqual(record.previous, slots.NONE)
                self.refused(TransportError, "short", fetch, rig, Server(data, len(data) // 2))
                record = rig.device.slots.load()
                self.assertEqual((record.state, record.previous), (state.FETCH, slots.NONE))

    def test_reverse_package_that_nobody_signed_is_not_decoded(self):
        # It leads to the right image, but the signed package names another one.
        rig, _ = confirmed("inplace")
        at = place(rig, "ota", 4096)
        back = Package(ONE, TWO, "0.0.1", ordered=True, keys=()).data()
        n = -(-len(back) // 4096) * 4096
        rig.nor.erase(at, n)
        rig.nor.program(at, back + b"\xff" * (n - len(back)))
        self.refused(StateError, "none", trial.rollback, False)
        self.rests(rig, "IDLE", TWO, "0.2")

    def test_while_it_goes_back_nobody_is_asked(self):
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                rig, _ = confirmed(strategy)
                trial.rollback(False)
                source = Source(None)
                self.refused(StateError, "state", update.drive, update.run(rig.device, source))

    def test_deadline_restarts_unless_confirmed(self):
        class Timer:
            ONE_SHOT = 7
            made = []

            def __init__(self, number):
                self.running = False
                Timer.made.append(self)

            def init(self, period, mode, callback):
                self.running, self.period, self.callback = True, period, callback

            def deinit(self):
                self.running = False

        class Machine(trial.machine):
            pass

        Machine.Timer = Timer
        trial.machine = Machine
        rig, _ = on_trial("ab")
        rig.config["confirm_ms"] = 5000
        self.assertFalse(self.start(rig))
        self.assertEqual(len(Timer.made), 1)
        timer = Timer.made[0]
        self.assertEqual((timer.running, timer.period), (True, 5000))
        self.assertRaises(Restart, timer.callback, timer)
        trial.confirm()
        self.assertFalse(timer.running)
