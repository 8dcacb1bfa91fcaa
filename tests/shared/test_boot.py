import ota
from nor import Nor, PowerCut
from ota import errors, state
from ota import package as fmt
from ota.boot import intake as adopt
from ota.boot import outcome as verdict
from ota.boot import trial
from ota.errors import (
    FlashError,
    ManifestError,
    OtaError,
    PolicyError,
    StateError,
    VerifyError,
)
from ota.flash import Region
from ota.state import record as slots
from ota.strategy import staging
from packer import Package
from scenes import (
    ONE,
    STRATEGIES,
    THREE,
    TWO,
    WAYS,
    Case,
    blank,
    confirmed,
    digest,
    for_nobody,
    fresh,
    made,
    on_trial,
    stick,
    usual,
)
from slow import SAMPLE, some


class TestByHand(Case):
    def test_genuine_and_newer_is_taken(self):
        for strategy, kind in WAYS:
            with self.subTest(strategy=strategy, kind=kind):
                rig = fresh(strategy)
                rig.write("ota", made(kind))
                rig.boot()
                self.rests(rig, "TRIAL", TWO, "0.2")
                trial.confirm()
                self.rests(rig, "IDLE", TWO, "0.2")

    def test_not_newer_is_left_alone(self):
        for strategy in STRATEGIES:
            for version in ("0.1", "0.0.9"):
                with self.subTest(strategy=strategy, version=version):
                    rig = fresh(strategy)
                    before = rig.nor.ops
                    rig.write("ota", Package(TWO, None, version).data())
                    self.rests(rig, "IDLE", ONE, "0.1")
                    self.assertGreaterEqual(rig.nor.ops, before)

    def test_refused_with_a_reason_and_not_looked_at_again(self):
        for what, strategies, _, word, data in for_nobody():
            for strategy in some(strategies):
                if what in ("hardware", "order", "block", "magic", "head", "nothing"):
                    continue  # see the tests below
                with self.subTest(what=what, strategy=strategy):
                    rig = fresh(strategy)
                    rig.write("ota", data)
                    active = rig.nor.wear[:9]
                    rig.boot()
                    self.rests(rig, "IDLE", ONE, "0.1", word)
                    self.assertEqual(rig.nor.wear[:9], active)

    def test_of_the_wrong_order_or_block(self):
        for strategy, word, package in (
            ("ab", "strategy", Package(TWO, ONE, ordered=True)),
            ("inplace", "strategy", Package(TWO, ONE)),
            ("inplace", "geometry", Package(TWO, None, block=2048)),
        ):
            with self.subTest(strategy=strategy, word=word):
                rig = fresh(strategy)
                rig.write("ota", package.data())
                rig.boot()
                self.rests(rig, "IDLE", ONE, "0.1", word)

    def test_damaged_is_not_taken(self):
        data = Package(TWO, None).data()
        start = sum(fmt.lengths(data))
        for strategy in some(STRATEGIES):
            for place in (0, 4, 6, 20, start - 1, start, start + 99, 9999, len(data) - 1):
                with self.subTest(strategy=strategy, place=place):
                    rig = fresh(strategy)
                    bad = bytearray(data)
                    bad[place] ^= 1
                    rig.write("ota", bytes(bad))
                    rig.boot()
                    status = ota.status()
                    # What has no magic is no package; everything else has a reason.
                    self.assertEqual(status["reason"] == "", place == 0)
                    self.rests(rig, "IDLE", ONE, "0.1", status["reason"])

    def test_cut_off_is_not_taken(self):
        data = Package(TWO, None).data()
        for strategy in STRATEGIES:
            for n in (100, 300, 5000, len(data) - 3):
                with self.subTest(strategy=strategy, n=n):
                    rig = fresh(strategy)
                    rig.write("ota", data[:n])
                    rig.boot()
                    status = ota.status()
                    self.assertNotEqual(status["reason"], "")
                    self.rests(rig, "IDLE", ONE, "0.1", status["reason"])

    def _there_and_back(self, strategy):
        """0.2 as it lies in the OTA partition, with a way back."""
        if strategy != "inplace":
            return usual(strategy)
        # The reverse package is looked for from a sector edge on.
        back = Package(ONE, TWO, "0.1", ordered=True).data()
        data = Package(TWO, ONE, "0.2", ordered=True, behind=back).data()
        length = len(data) - len(back)
        return data[:length] + b"\xff" * (-length % 4096) + back

    def test_rolled_back_is_not_taken_again(self):
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                rig = fresh(strategy)
                rig.write("ota", self._there_and_back(strategy))
                rig.boot()
                trial.rollback(False)
                rig.boot()
                self.rests(rig, "IDLE", ONE, "0.1", "request")

    def test_rolled_back_is_not_taken_again_after_junk(self):
        """What is refused in between does not make the board forget what failed on it."""
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                rig = fresh(strategy)
                rig.write("ota", self._there_and_back(strategy))
                self.assertEqual(rig.boot().state, state.TRIAL)
                trial.rollback(False)
                self.assertEqual(rig.boot().state, state.IDLE)
                for n in range(3):
                    junk = Package(THREE, None, "0.%d" % (7 + n), product="toaster").data()
                    rig.write("ota", junk)
                    r = rig.boot()
                    self.assertEqual(r.refused, digest(junk[: fmt.lengths(junk)[0]])[:8])
                    self.assertEqual(ota.status()["reason"], "product")
                    # The same image, as another package would bring it.
                    other = Package(TWO, None, "0.5").data()
                    rig.write("ota", other)
                    ops = rig.nor.ops
                    r = rig.boot()
                    self.assertEqual((r.state, r.image.version), (state.IDLE, "0.1"))
                    self.assertEqual(rig.nor.ops, ops)
                    self.assertTrue(rig.runs(ONE))

    def test_right_copy_after_a_damaged_one(self):
        good = Package(TWO, None).data()
        start = sum(fmt.lengths(good))
        for strategy in STRATEGIES:
            for place in (start - 1, start + 5, len(good) // 2):
                for fetched in (False, True):
                    with self.subTest(strategy=strategy, place=place, fetched=fetched):
                        rig = fresh(strategy)
                        bad = bytearray(good)
                        bad[place] ^= 1
                        if fetched:
                            self.assertRaises(OtaError, rig.install, bytes(bad))
                        else:
                            rig.write("ota", bytes(bad))
                        rig.boot()
                        self.assertNotEqual(ota.status()["reason"], "")
                        rig.write("ota", good)
                        rig.boot()
                        self.rests(rig, "TRIAL", TWO, "0.2")

    def test_power_cut_while_it_is_streamed(self):
        for n in range(2, 20, 3):
            with self.subTest(n=n):
                rig = fresh("ab")
                rig.write("ota", Package(TWO, None).data())
                rig.nor.cut_at(n, "after")
                self.assertRaises(PowerCut, rig.boot)
                rig.nor.power_on()
                rig.boot()
                self.rests(rig, "TRIAL", TWO, "0.2")

    def test_replaces_what_is_staged_for_going_back(self):
        # In place the reverse package is overwritten by hand; the way back is gone then, and
        # nothing else is taken for it.
        rig, r = confirmed("inplace")
        self.assertEqual(r.previous, 2)
        rig.write("ota", Package(THREE, None, "0.3", product="toaster").data())
        rig.boot()
        self.rests(rig, "IDLE", TWO, "0.2", "product")
        try:
            trial.rollback(False)
        except StateError as e:
            self.assertEqual(e.reason, "none")
        rig.boot()
        self.assertTrue(rig.runs(TWO))
        self.assertEqual(ota.status()["state"], "IDLE")

    def test_reverse_package_of_other_images_is_not_applied(self):
        rig, r = confirmed("inplace")
        back = Package(THREE, ONE, "0.3", ordered=True).data()
        ahead = Package(TWO, ONE, "0.2", ordered=True, behind=back).data()
        length = len(ahead) - len(back)
        padded = ahead[:length] + b"\xff" * (-length % 4096) + back
        rig.write("ota", padded)
        try:
            trial.rollback(False)
        except StateError as e:
            self.assertEqual(e.reason, "none")
        rig.boot()
        self.assertEqual(ota.status()["state"], "IDLE")
        self.assertTrue(rig.runs(TWO))

    def test_way_back_that_is_not_for_this_board_is_none(self):
        """Signed with the package before it, and wrong all the same."""
        for what, back, there in (
            ("order", Package(ONE, TWO, "0.1"), False),
            ("full", Package(ONE, None, "0.1"), False),
            ("product", Package(ONE, TWO, "0.1", ordered=True, product="toaster"), False),
            ("component", Package(ONE, TWO, "0.1", ordered=True, target="fonts"), False),
            ("right", Package(ONE, TWO, "0.1", ordered=True), True),
        ):
            back = back.data()
            ahead = Package(TWO, ONE, "0.2", ordered=True, behind=back).data()
            length = len(ahead) - len(back)
            rig = fresh("inplace")
            rig.write("ota", ahead[:length] + b"\xff" * (-length % 4096) + back)
            with self.subTest(what=what):
                r = rig.boot()
                self.assertEqual(r.state, state.TRIAL)
                self.assertEqual(r.previous, 2 if there else slots.NONE)
                # Neither is one that came to lie there meanwhile begun with.
                r.previous = 2
                rig.device.slots.save(r)
                verdict.go_back(rig.device, r, "request")
                wear = rig.nor.wear[:8]
                r = rig.boot()
                self.assertEqual(r.state, state.IDLE if there else state.RESCUE)
                if not there:
                    self.assertEqual(rig.nor.wear[:8], wear)

    def test_head_or_package_that_does_not_fit_the_partition(self):
        data = Package(TWO, None).data()
        for strategy in STRATEGIES:
            for size, word in ((4096, "fit"), (8192, "fit")):
                rig = fresh(strategy)
                rig.write("ota", data)
                rig.config["partitions"]["ota"]["size"] = size
                with self.subTest(strategy=strategy, size=size):
                    r = rig.boot()
                    self.assertEqual((r.state, errors.word(r.reason)), (state.IDLE, word))
                    self.assertTrue(rig.runs(ONE))
        # The head alone is longer than what is there, or its first bytes are.
        for at, word in ((0, "size"), (120, "header")):
            region = Region(Nor(1024, 256, 8), 0, 128)
            region.program(0, data[:128])
            with self.assertRaises(ManifestError) as cm:
                staging.find(region, at)
            self.assertEqual(cm.exception.reason, word)

    def test_package_by_hand_does_not_end_a_download(self):
        for strategy in STRATEGIES:
            rig = fresh(strategy)
            rig.write("ota", Package(THREE, None, "0.9").data())
            r = rig.device.slots.load()
            r.state = state.FETCH
            r.package = b"another!"
            r.new = slots.Image("0.5", 0, 5, bytes(32))
            rig.device.slots.save(r)
            ops = rig.nor.ops
            adopt.by_hand(rig.device, r)
            with self.subTest(strategy=strategy):
                self.assertEqual(rig.nor.ops, ops)
                self.assertEqual(rig.device.slots.load().state, state.FETCH)


class TestBootStage(Case):
    def _cut_in_apply(self, strategy, n, data=None):
        rig = fresh(strategy)
        rig.install(data or usual(strategy))
        rig.nor.cut_at(n, "after")
        with self.assertRaises(PowerCut):
            rig.boot()
        rig.nor.power_on()
        return rig

    def test_package_damaged_before_the_apply(self):
        for strategy in ("pingpong", "inplace"):
            for place in (4, 50, 200, 260):
                with self.subTest(strategy=strategy, place=place):
                    rig = fresh(strategy)
                    rig.install(usual(strategy))
                    active = rig.nor.wear[:9]
                    rig.nor.data[rig.config["partitions"]["ota"]["offset"] + place] ^= 1
                    rig.boot()
                    word = ota.status()["reason"]
                    self.assertNotEqual(word, "")
                    self.rests(rig, "IDLE", ONE, "0.1", word)
                    self.assertEqual(rig.nor.wear[:9], active)

    def test_package_exchanged_before_the_apply(self):
        other = Package(THREE, ONE, "0.3", ordered=True).data()
        for strategy in ("pingpong", "inplace"):
            with self.subTest(strategy=strategy):
                rig = fresh(strategy)
                rig.install(usual(strategy))
                rig.write("ota", other)
                active = rig.nor.wear[:9]
                rig.boot()
                self.assertEqual(ota.status()["state"], "IDLE")
                self.assertTrue(rig.runs(ONE))
                self.assertEqual(rig.nor.wear[:9], active)

    def test_slot_damaged_while_ready(self):
        rig = fresh("ab")
        rig.install(usual("ab"))
        rig.nor.data[rig.config["partitions"]["backup"]["offset"] + 777] ^= 2
        rig.boot()
        self.rests(rig, "IDLE", ONE, "0.1", "digest")

    def test_running_image_damaged_before_the_apply(self):
        # Nothing can be made of it any more; only a full package helps.
        for strategy in ("pingpong", "inplace"):
            with self.subTest(strategy=strategy):
                rig = fresh(strategy)
                rig.install(usual(strategy))
                rig.nor.data[100] ^= 1
                rig.boot()
                self.rests(rig, "RESCUE", b"", "", "digest")

    def test_ping_pong_goes_back_when_the_package_is_lost_on_the_way(self):
        clean = fresh("pingpong")
        clean.install(usual("pingpong"))
        before = clean.nor.ops
        clean.boot()
        total = clean.nor.ops - before
        backs = 0
        for n in some(range(2, total, 3)):
            with self.subTest(n=n):
                rig = self._cut_in_apply("pingpong", n)
                rig.nor.data[rig.config["partitions"]["ota"]["offset"] + 200] ^= 1
                rig.boot()
                status = ota.status()
                if status["state"] == "TRIAL":  # the cut was behind the last block
                    continue
                backs += 1
                self.rests(rig, "IDLE", ONE, "0.1", status["reason"])
                self.assertNotEqual(status["reason"], "")
                # The backup may be half of a copy: it is no image to go back to.
                try:
                    trial.rollback(False)
                except StateError as e:
                    self.assertEqual(e.reason, "none")
                rig.boot()
                self.assertEqual(ota.status()["state"], "IDLE")
                self.assertTrue(rig.runs(ONE))
        self.assertGreaterEqual(backs, 4 if SAMPLE else 8)

    def test_refused_apply_after_a_confirmed_update_keeps_what_runs(self):
        # The backup of the update before is half overwritten when this one is given up.
        rig, _ = confirmed("pingpong")
        rig.install(Package(THREE, None, "0.3").data())
        rig.nor.cut_at(6, "after")
        with self.assertRaises(PowerCut):
            rig.boot()
        rig.nor.power_on()
        rig.nor.data[rig.config["partitions"]["ota"]["offset"] + 9000] ^= 1
        rig.boot()
        self.assertEqual(ota.status()["state"], "IDLE")
        self.refused(StateError, "none", trial.rollback)
        self.assertTrue(rig.runs(TWO))

    def test_chip_that_refuses_once(self):
        for strategy in ("pingpong", "inplace"):
            clean = fresh(strategy)
            clean.install(usual(strategy))
            before = clean.nor.ops
            clean.boot()
            total = clean.nor.ops - before
            for effect in ("error", "stuck"):
                for n in some(range(3, total, 4)):
                    with self.subTest(strategy=strategy, effect=effect, n=n):
                        rig = fresh(strategy)
                        rig.install(usual(strategy))
                        if effect == "stuck":
                            stick(rig.nor, n // 2)
                        else:
                            rig.nor.cut_at(n, effect)
                        try:
                            rig.boot()
                        except FlashError:
                            rig.boot()  # the record itself could not be written
                        r = rig.device.slots.load()
                        if r.state == state.TRIAL:
                            self.assertTrue(rig.runs(TWO))
                        else:
                            self.assertEqual(r.state, state.IDLE)
                            self.assertTrue(rig.runs(ONE))
                            self.assertNotEqual(r.reason, 0)

    def test_journal_of_an_earlier_life_does_not_count(self):
        # The KV was lost and counts from 1 again; marks of the first apply are still there.
        for strategy in ("pingpong", "inplace"):
            with self.subTest(strategy=strategy):
                rig, _ = confirmed(strategy)
                rig.write("active", ONE)
                p = rig.config["partitions"]["kv"]
                rig.nor.erase(p["offset"], p["size"])
                p = rig.config["partitions"]["ota"]
                rig.nor.erase(p["offset"], 4096)
                rig.boot()
                self.rests(rig, "IDLE", ONE, "0.1")
                rig.install(usual(strategy))
                rig.boot()
                self.rests(rig, "TRIAL", TWO, "0.2")


class TestRepairedStore(Case):
    """A cut program may damage its whole sector, and with it the last records of the KV."""

    def older(self, strategy, update=True, damaged=False, staged=True):
        """A board updated to TWO whose KV shows an older record, and was cut in a write."""
        rig = fresh(strategy)
        rig.install(Package(TWO, None).data())
        record = rig.device.slots.load()
        record.state = state.FETCH if update else state.IDLE
        record.new = record.new if update else slots.Image()
        rig.boot()
        trial.confirm()
        rig.boot()
        self.assertTrue(rig.runs(TWO))
        kv = rig.device.kv
        kv.set(rig.device.slots.key, record.pack())
        rig.nor.cut_at(1, "middle")
        with self.assertRaises(PowerCut):
            kv.set("app", b"x" * 64)
        rig.nor.cut_at(None)
        rig.nor.power_on()
        if damaged:
            rig.nor.put(5, bytes([rig.nor.data[5] ^ 1]))
        if not staged:
            rig.write("ota", bytes(64))
        return rig

    def test_the_image_in_the_slot_is_the_one_recorded(self):
        for strategy in ("pingpong", "inplace"):
            with self.subTest(strategy=strategy):
                rig = self.older(strategy)
                for _ in range(2):  # the second boot finds nothing to do
                    rig.boot()
                    self.assertTrue(rig.runs(TWO))
                    status = ota.status()
                    self.assertEqual((status["state"], status["version"]), ("IDLE", "0.2"))
                    self.assertEqual(status["previous"], "")  # nothing is known of one
                done = rig.install(Package(THREE, None, "0.3").data())
                self.assertEqual(done["result"], "ready")

    def test_an_image_that_nobody_knows_does_not_run(self):
        for strategy in ("pingpong", "inplace"):
            for update, damaged in ((True, True), (False, False)):
                with self.subTest(strategy=strategy, update=update, damaged=damaged):
                    rig = self.older(strategy, update, damaged, staged=False)
                    for _ in range(2):
                        rig.boot()
                        self.assertEqual(ota.status()["state"], "RESCUE")
                        self.assertEqual(ota.status()["reason"], "digest")
                    # What is staged helps, if it is a full package.
                    rig = self.older(strategy, update, damaged)
                    rig.boot()
                    self.rests(rig, "TRIAL", TWO, "0.2")

    def test_a_slot_that_no_apply_rewrites_is_not_read(self):
        rig = self.older("ab")
        # Slot 0 is the old one; what runs is told by the record alone.
        rig.boot()
        self.assertEqual((ota.status()["state"], ota.status()["version"]), ("FETCH", "0.1"))
        self.assertTrue(rig.runs(ONE))


class TestRescue(Case):
    def _rescued(self, strategy):
        rig, r = on_trial(strategy)
        for name in ("active", "backup"):
            if name in rig.config["partitions"]:
                rig.nor.data[rig.config["partitions"][name]["offset"] + 5] ^= 1
        rig.boot()
        self.rests(rig, "RESCUE", b"", "", "digest")
        return rig

    def test_blank_board(self):
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                rig = blank(strategy)
                rig.config["image_size"] = 0
                rig.nor.erase(0, 9 * 4096)
                rig.boot()
                self.rests(rig, "RESCUE", b"", "", "empty")
                self.refused(StateError, "rescue", trial.start)
                self.refused(StateError, "state", trial.rollback)

    def test_patch_does_not_help(self):
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                rig = self._rescued(strategy)
                self.refused(PolicyError, "base", rig.install, usual(strategy))
                self.rests(rig, "RESCUE", b"", "", "base")

    def test_full_package_helps(self):
        for strategy in STRATEGIES:
            for by_hand in (False, True):
                with self.subTest(strategy=strategy, by_hand=by_hand):
                    rig = self._rescued(strategy)
                    data = Package(THREE, None, "0.3").data()
                    if by_hand:
                        rig.write("ota", data)
                    else:
                        rig.install(data)
                    rig.boot()
                    r = self.rests(rig, "TRIAL", THREE, "0.3")
                    self.assertEqual((r.previous, r.old.size), (slots.NONE, 0))
                    # There is no image to go back to.
                    self.refused(StateError, "none", trial.rollback)
                    trial.confirm()
                    self.rests(rig, "IDLE", THREE, "0.3")

    def test_image_that_fails_after_a_rescue_is_a_rescue_again(self):
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                rig = self._rescued(strategy)
                rig.install(Package(THREE, None, "0.3").data())
                rig.boot()
                for _ in range(3):
                    self.assertTrue(self.start(rig, "app_that_is_not_there"))
                    rig.boot()
                self.assertTrue(self.start(rig, "app_that_is_not_there"))
                rig.boot()
                self.rests(rig, "RESCUE", b"", "", "exception")

    def test_broken_full_package_leaves_the_rescue(self):
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                rig = self._rescued(strategy)
                bad = Package(THREE, None, "0.3")
                bad.chunks[-1].stored = b"\x07" + bad.chunks[-1].stored[1:]
                try:
                    rig.install(bad.data())
                except VerifyError:
                    pass
                rig.boot()
                self.rests(rig, "RESCUE", b"", "", "inflate")
                rig.install(Package(THREE, None, "0.3").data())
                rig.boot()
                self.rests(rig, "TRIAL", THREE, "0.3")
