"""Carrying an update out: what random cuts seldom reach, each with one protective step."""

import ota
from images import vector
from nor import PowerCut
from ota import device, state
from ota import package as fmt
from ota.boot import trial
from ota.errors import PolicyError, VerifyError
from ota.state.journal import Journal
from ota.strategy import staging
from packer import Package
from scenes import ONE, STRATEGIES, THREE, TWO, Case, blank, fresh, on_trial, usual
from slow import some
from watched import at_erase, lie, moves_during, operations, place


class TestReady(Case):
    """What is looked at before an armed package is applied, and while."""

    def test_board_that_changed_while_a_package_is_ready(self):
        for strategy in ("pingpong", "inplace"):
            with self.subTest(strategy=strategy):
                rig = fresh(strategy)
                rig.install(usual(strategy))
                rig.config["product"] = "toaster"  # other firmware came meanwhile
                active = rig.nor.wear[:9]
                rig.boot()
                self.rests(rig, "IDLE", ONE, "0.1", "product")
                self.assertEqual(rig.nor.wear[:9], active)

    def test_what_does_not_suit_is_never_armed(self):
        for strategy in ("pingpong", "inplace"):
            with self.subTest(strategy=strategy):
                rig = fresh(strategy)
                rig.write("ota", Package(TWO, None, product="toaster").data())
                self.assertFalse("READY" in moves_during(rig.boot))
                self.rests(rig, "IDLE", ONE, "0.1", "product")

    def test_refused_by_hand_does_not_come_up_again(self):
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                rig = fresh(strategy)
                rig.write("ota", Package(TWO, None, product="toaster").data())
                rig.boot()
                self.rests(rig, "IDLE", ONE, "0.1", "product")
                bad = Package(TWO, None, target="fonts").data()
                self.refused(PolicyError, "target", rig.install, bad)
                rig.boot()
                self.rests(rig, "IDLE", ONE, "0.1", "target")

    def test_package_exchanged_after_the_apply_was_recorded(self):
        rig = fresh("inplace")
        rig.install(usual("inplace"))
        n = 0
        while rig.device.slots.load().state != state.APPLY:  # cut right behind that record
            n += 1
            rig.nor.cut_at(n, "after")
            self.assertRaises(PowerCut, rig.boot)
            rig.nor.power_on()
            rig.device = device.Device(rig.config)
        rig.write("ota", Package(THREE, ONE, "0.3", ordered=True).data())
        active = rig.nor.wear[:9]
        rig.boot()
        self.assertEqual((ota.status()["state"], ota.status()["reason"]), ("IDLE", "digest"))
        self.assertTrue(rig.runs(ONE))
        self.assertEqual(rig.nor.wear[:9], active)

    def test_wrong_image_is_never_recorded_as_on_trial(self):
        for strategy in ("pingpong", "inplace"):
            with self.subTest(strategy=strategy):
                rig = fresh(strategy)
                rig.install(lie())
                moves = moves_during(rig.boot)
                self.assertIn("APPLY", moves)
                self.assertFalse("TRIAL" in moves)

    def test_backup_that_lost_a_block_is_no_way_back(self):
        rig = fresh("pingpong")
        rig.install(usual("pingpong"))
        start = place(rig, "backup")

        def decay():  # four blocks are copied
            rig.nor.data[start + 99] ^= 1

        at_erase(rig, start + 4 * 4096, decay, rig.boot)
        self.rests(rig, "IDLE", ONE, "0.1", "digest")

    def test_blocks_smaller_than_a_sector_are_cut(self):
        for kind in ("full", "delta"):
            data = vector("%s-24k-2048.ota" % kind)
            rig = fresh("pingpong")
            rig.install(data)
            base = rig.nor.snapshot()
            for n in some(range(1, operations(rig, rig.boot), 2)):
                with self.subTest(kind=kind, n=n):
                    rig.nor.restore(base)
                    rig.nor.cut_at(n, "after")
                    self.assertRaises(PowerCut, rig.boot)
                    rig.nor.power_on()
                    rig.boot()
                    self.assertTrue(rig.runs(TWO))
                    self.assertEqual(ota.status()["state"], "TRIAL")

    def test_half_of_a_large_sector_changes(self):
        new = bytearray(ONE)
        new[4096 + 2048] ^= 1
        rig = fresh("pingpong")
        rig.install(Package(bytes(new), None, block=2048).data())
        rig.boot()
        self.rests(rig, "TRIAL", bytes(new), "0.2")

    def test_done_mark_that_is_lost_when_scratch_is_in_use_again(self):
        # One place in scratch, so the block behind is there already.
        rig = blank("inplace")
        rig.config["partitions"]["ota"]["size"] = 4 * 4096
        rig.boot()
        rig.install(usual("inplace"))
        header = staging.find(rig.device.region("ota"))[0]
        scratch = staging.Plan(rig.device, header).room(header)[1]
        self.assertEqual(scratch.size, 4096)
        blocks = []

        def third():
            blocks.append(1)
            if len(blocks) == 3:
                rig.nor.cut_at(2, "after")  # it is in scratch, not marked

        self.assertRaises(PowerCut, at_erase, rig, scratch.offset, third, rig.boot)
        rig.nor.power_on()
        region = staging.journal_region(rig.device)
        journal = Journal(region, device.Device(rig.config).slots.load().secret)
        self.assertEqual(journal.kind, 2)
        rig.nor.data[region.offset + journal._offset(journal._slot - 1) + 20] ^= 1
        self.assertEqual(Journal(region, journal.secret).kind, 1)
        rig.boot()
        self.rests(rig, "TRIAL", TWO, "0.2")


class TestKept(Case):
    """Steps whose loss the outcome alone does not show."""

    def _spans(self, rig, name):
        p = rig.config["partitions"][name]
        return p["offset"], p["offset"] + p["size"]

    def _log(self, rig):
        """Operations of the next boot, which is then taken back."""
        before = rig.nor.snapshot()
        rig.nor.log = log = []
        rig.boot()
        rig.nor.log = None
        rig.nor.restore(before)
        return log

    def _cut_boot(self, rig, n, effect):
        rig.nor.cut_at(n, effect)
        with self.assertRaises(PowerCut):
            rig.boot()
        rig.nor.power_on()

    def test_damaged_image_does_not_cost_the_backup_an_erase(self):
        rig = fresh("pingpong")
        rig.install(usual("pingpong"))
        rig.nor.data[place(rig, "active", 5000)] ^= 1
        low, high = [x // rig.nor.sector_size for x in self._spans(rig, "backup")]
        wear = rig.nor.wear[low:high]
        rig.boot()
        self.assertEqual(ota.status()["reason"], "digest")
        self.assertEqual(rig.nor.wear[low:high], wear)

    def test_block_that_is_marked_done_is_not_written_again(self):
        rig = fresh("inplace")
        rig.install(usual("inplace"))
        low, high = self._spans(rig, "active")
        log = self._log(rig)
        inside = [low <= op[1] < high for op in log]
        done = inside.index(True)
        while inside[done]:
            done += 1
        first, last = low // rig.nor.sector_size, high // rig.nor.sector_size
        wear = rig.nor.wear[first:last]
        self._cut_boot(rig, done + 1, "after")
        rig.boot()
        self.assertTrue(rig.runs(TWO))
        spent = [b - a for a, b in zip(wear, rig.nor.wear[first:last])]
        self.assertEqual(max(spent), 1)

    def test_block_that_neither_slot_nor_scratch_holds(self):
        rig = fresh("inplace")
        rig.install(usual("inplace"))
        low, high = self._spans(rig, "active")
        log = self._log(rig)
        # The first block lies behind the old image, which is whole until the second goes.
        erase = [i for i in range(len(log)) if log[i][0] == "erase" and low <= log[i][1] < high][1]
        scratch = [op for op in log[:erase] if op[0] == "erase"][-1][1]
        self._cut_boot(rig, erase + 1, "after")
        rig.nor.data[scratch + 9] ^= 1
        rig.boot()
        self.assertEqual((ota.status()["state"], ota.status()["reason"]), ("RESCUE", "journal"))

    def test_floor_above_the_image_stays_at_confirm(self):
        rig, record = on_trial("ab")
        record.floor = 5
        rig.device.slots.save(record)
        trial.confirm()
        self.assertEqual(rig.device.slots.load().floor, 5)

    def test_signature_that_went_bad_in_staging_comes_anew(self):
        good = Package(TWO, None).data()
        end = sum(fmt.lengths(good))
        for strategy in ("pingpong", "inplace"):
            with self.subTest(strategy=strategy):
                rig = fresh(strategy)
                rig.write("ota", good[: end - 1] + bytes([good[end - 1] ^ 1]) + good[end:])
                rig.boot()
                self.assertEqual(ota.status()["reason"], "signature")
                rig.install(good)
                self.assertEqual(rig.boot().state, state.TRIAL)

    def test_refused_for_its_reverse_package_is_not_taken_by_hand(self):
        back = Package(ONE, TWO, "0.1", ordered=True).data()
        other = Package(ONE, TWO, "0.0", ordered=True).data()
        good = Package(TWO, ONE, "0.2", ordered=True, behind=back).data()
        rig = fresh("inplace")
        bad = good[: len(good) - len(back)] + other
        self.refused(VerifyError, "chain", rig.install, bad)
        self.assertEqual(rig.boot().state, state.IDLE)
        self.rests(rig, "IDLE", ONE, "0.1", "chain")
        rig.install(good)
        self.assertEqual(rig.boot().state, state.TRIAL)
