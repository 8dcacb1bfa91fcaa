"""A strategy of somebody's own: one module, which nothing in the library names."""

import sys
import unittest

import ota
import toy_strategy
from images import image
from nor import CUTS, PowerCut
from ota import device, state
from ota.boot import trial
from ota.errors import FlashError, OtaError, StateError
from ota.state import record as slots
from packer import Package
from rig import Rig

KB = 1024
_SIZE = 24 * KB
_ONE, _TWO, _THREE = image(1, _SIZE), image(2, _SIZE), image(3, _SIZE)
_NAME = "ota.strategy.toy"


class TestToy(unittest.TestCase):
    def setUp(self):
        sys.modules[_NAME] = toy_strategy
        self.rig = Rig("toy", _SIZE)
        self.rig.boot()

    def tearDown(self):
        del sys.modules[_NAME]
        device.current = None

    def _update(self, new, old, version):
        data = Package(new, old, version=version).data()
        self.assertEqual(self.rig.install(data)["result"], "ready")
        return self.rig.boot()

    def test_installs_boots_and_is_confirmed(self):
        for old, new, version in ((_ONE, _TWO, "2.0"), (_TWO, _THREE, "3.0"), (None, _ONE, "4.0")):
            record = self._update(new, old, version)
            self.assertEqual((record.state, record.image.version), (state.TRIAL, version))
            self.assertTrue(self.rig.runs(new))
            self.assertTrue(trial.confirm())
            self.assertEqual(self.rig.boot().state, state.IDLE)
        status = ota.status()
        self.assertEqual((status["strategy"], status["slot"]), ("toy", 1))

    def test_rolls_back_on_trial_and_when_confirmed(self):
        for confirmed in (False, True):
            with self.subTest(confirmed=confirmed):
                self._update(_TWO, _ONE, "2.%d" % confirmed)
                if confirmed:
                    trial.confirm()
                trial.rollback(False)
                record = self.rig.boot()
                self.assertEqual((record.state, record.previous), (state.IDLE, slots.NONE))
                self.assertTrue(self.rig.runs(_ONE))
                record.seen = bytes(8)
                self.rig.device.slots.save(record)

    def test_comes_up_after_a_power_cut_anywhere_in_an_apply(self):
        data = Package(_TWO, _ONE).data()
        cuts = 0
        for at in range(1, 200, 7):
            for cut in CUTS[:2]:
                rig = self.rig = Rig("toy", _SIZE)
                rig.boot()
                rig.install(data)
                rig.nor.cut_at(at, cut)
                try:
                    rig.boot()
                    break
                except PowerCut:
                    cuts += 1
                rig.nor.power_on()
                self.assertEqual(rig.boot().state, state.TRIAL)
                self.assertTrue(rig.runs(_TWO))
        self.assertTrue(cuts > 4, cuts)

    def test_its_moves_and_slots_are_kept_to(self):
        self.assertEqual(state.facts("toy")[:2], ["staged", "10"])
        with self.assertRaises(StateError):
            state.check("toy", state.APPLY, state.BACK)
        state.check("toy", state.READY, state.APPLY)
        r = self.rig.device.slots.load()
        r.active, r.previous, r.old = 1, 1, r.image
        with self.assertRaises(OtaError) as cm:
            slots.unpack(r.pack(), "toy")
        self.assertEqual(cm.exception.reason, "corrupt")

    def test_by_hand(self):
        self.rig.write("ota", Package(_TWO, _ONE, version="2.0").data())
        self.assertEqual(self.rig.boot().state, state.TRIAL)
        self.assertTrue(self.rig.runs(_TWO))


class TestNone(unittest.TestCase):
    def test_a_name_without_a_module_or_of_one_that_is_no_strategy(self):
        for name in ("toy", "staging", "", "a b", "__init__"):
            with self.subTest(name=name):
                with self.assertRaises(FlashError) as cm:
                    Rig(name, _SIZE).boot()
                self.assertEqual(cm.exception.args[:2], ("config", "strategy"))
