"""What a device keeps of the manifests it accepted: recalls, channels, releases taken again."""

import hashlib
import struct

import ota
from nor import EFFECTS, PowerCut
from ota import clock, device, modules, update
from ota.boot import trial
from ota.errors import (
    FlashError,
    ManifestError,
    PolicyError,
    SignatureError,
    StateError,
    VerifyError,
)
from ota.state import accepted
from packer import OTHER_KEY, Package, content, entry, manifest, release
from scenes import ONE, STRATEGIES, THREE, TWO, Case, Source, blank, digest, fresh, made, outside
from slow import SAMPLE, some

_FULL = Package(TWO, None).data()
_PLACE = made("place")
_THIRD = Package(THREE, None, "0.3").data()
_KEY = "ota.app.seq"


def offers(sequence=1, **more):
    """A source of 0.2."""
    packages = [entry("p", _FULL), entry("r", _PLACE, ONE, True)]
    return listed([release("0.2", TWO, packages)], sequence, **more)


def listed(releases, sequence=1, **more):
    packages = {"p": _FULL, "q": _THIRD, "r": _PLACE}
    return Source(manifest(content(releases, sequence, **more)), packages)


def nothing(sequence=1, **more):
    return listed([], sequence, **more)


def ask(rig, source, now=0):
    return update.drive(update.run(rig.device, source, now))["result"]


def bound(rig):
    return accepted.bound(rig.device, rig.device.slots.load())


def name(channel):
    return hashlib.sha256(channel.encode()).digest()[:8]


class TestSequence(Case):
    def test_what_was_taken_back_does_not_come_again(self):
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                rig = fresh(strategy)
                before = outside(rig)
                self.assertEqual(ask(rig, nothing(3)), "none")
                self.assertEqual(ota.status()["sequence"], 3)
                rig.boot()
                self.refused(PolicyError, "sequence", ask, rig, offers(2))
                self.assertTrue(before == outside(rig))
                self.rests(rig, "IDLE", ONE, "0.1", "sequence")
                self.assertEqual(ask(rig, offers(3)), "ready")

    def test_nor_by_a_manifest_that_has_no_package_or_a_release_that_was_given_up(self):
        rig = fresh("ab")
        other = listed([release("0.2", TWO, [entry("p", _FULL, THREE)])], 4)
        self.refused(PolicyError, "base", ask, rig, other)
        self.refused(PolicyError, "sequence", ask, rig, offers(3))
        self.assertEqual(ask(rig, offers(5)), "ready")
        rig.boot()
        trial.rollback(False)
        rig.boot()
        self.refused(PolicyError, "seen", ask, rig, offers(6))
        self.refused(PolicyError, "sequence", ask, rig, offers(5))

    def test_what_is_not_accepted_is_not_kept(self):
        rig = fresh("ab")
        for kind, word, source in (
            (PolicyError, "product", nothing(9, product="toaster")),
            (PolicyError, "channel", nothing(9, channel="beta")),
            (PolicyError, "expired", nothing(9, expires=5)),
            (SignatureError, "key", Source(manifest(content([], 9), (OTHER_KEY,)))),
            (ManifestError, "field", Source(manifest(content([{}], 9)))),
        ):
            self.refused(kind, word, ask, rig, source, 6)
        self.assertEqual(ota.status()["sequence"], 0)
        self.assertEqual(rig.device.kv.get(_KEY), bytes(49))
        self.assertIsNone(ota.status()["checked"])

    def test_it_is_written_once_for_a_manifest(self):
        rig = fresh("ab")
        for sequence in (1, 2, 3):
            ask(rig, nothing(sequence))
            rig.boot()
            ops = rig.nor.ops
            for _ in range(3):
                ask(rig, nothing(sequence))
            self.assertEqual(rig.nor.ops, ops)
        # A value of the same length is appended by one program, and a mark that it came back.
        ask(rig, nothing(4))
        self.assertLessEqual(rig.nor.ops - ops, 2)
        self.assertFalse(rig.device.kv.loaded)

    def test_power_cut_while_it_is_kept(self):
        for first in (True, False):
            n, cuts = 0, 0
            # Collateral damage may lose a value (docs/reliability.md).
            effects = some(EFFECTS[:7]) if SAMPLE else EFFECTS[:-1]
            while n < 40:
                n += 1
                for effect in effects:
                    rig = fresh("ab")
                    if not first:
                        ask(rig, nothing(2))
                    rig.nor.cut_at(n, effect)
                    try:
                        ask(rig, nothing(3))
                    except PowerCut:
                        cuts += 1
                    rig.nor.cut_at(None)
                    rig.nor.power_on()
                    rig.boot()
                    self.assertIn(ota.status()["sequence"], (0 if first else 2, 3))
                    self.assertEqual(ask(rig, nothing(3)), "none")
                    self.refused(PolicyError, "sequence", ask, rig, offers(2))
                if cuts < n * len(effects):
                    break
            self.assertGreaterEqual(cuts, len(effects))

    def test_a_full_store_stops_no_update(self):
        rig = fresh("ab")

        def full(key, value):
            if key == _KEY:
                raise FlashError("full")
            return kept(key, value)

        kept, rig.device.kv.set = rig.device.kv.set, full
        self.assertEqual(ask(rig, nothing(3)), "none")
        self.assertEqual(ask(rig, offers(3)), "ready")
        # The record has it, too.
        self.assertEqual(ota.status()["sequence"], 3)

        def broken(key, value):
            raise FlashError("io")

        rig.device.kv.set = broken
        self.refused(FlashError, "io", ask, rig, nothing(4))

    def test_a_record_of_before_is_a_bound(self):
        rig = fresh("ab")
        record = rig.device.slots.load()
        record.sequence = 5
        rig.device.slots.save(record)
        self.refused(PolicyError, "sequence", ask, rig, offers(4))
        ask(rig, nothing(5))
        self.assertEqual(rig.device.kv.get(_KEY), bytes(49))  # the record says so already
        ask(rig, nothing(6))
        self.refused(PolicyError, "sequence", ask, rig, offers(5))

    def test_a_value_that_is_none_of_ours_is_passed_over(self):
        for bad in (
            b"", b"x", b"\1", bytes(49), b"\2" + bytes(48), b"\1" + b"\xff" * 47, b"\1" * 50,
            b"\1" + bytes(48), b"\xff" * 49, b"\1" + b"\xff" * 48, bytes(200),
        ):  # fmt: skip
            with self.subTest(bad=bad[:2], length=len(bad)):
                rig = fresh("ab")
                record = rig.device.slots.load()
                record.sequence = 5
                rig.device.slots.save(record)
                rig.device.kv.set(_KEY, bad)
                ota.status()
                ours = len(bad) == 49 and bad[0] == 1  # of other channels, or of none
                if not ours:
                    self.refused(PolicyError, "sequence", ask, rig, offers(4))
                self.assertEqual(ask(rig, nothing(7)), "none")
                self.assertEqual(ota.status()["sequence"], 7)
                good = rig.device.kv.get(_KEY)
                self.assertEqual((len(good), good[:9]), (49, b"\1" + name("stable")))
                self.assertEqual(struct.unpack("<I", good[9:13])[0], 7)


class TestChannel(Case):
    def test_a_manifest_of_another_one_is_refused(self):
        for strategy in STRATEGIES:
            for config in (None, "stable", ""):
                with self.subTest(strategy=strategy, config=config):
                    rig = blank(strategy)
                    if config is not None:
                        rig.config["channel"] = config
                    rig.boot()
                    before = outside(rig)
                    beta = offers(30, channel="beta")
                    self.refused(PolicyError, "channel", ask, rig, beta)
                    self.assertEqual((beta.opened, beta.told), ([], []))
                    self.assertTrue(before == outside(rig))
                    self.rests(rig, "IDLE", ONE, "0.1", "channel")
                    self.assertEqual(ask(rig, offers(1)), "ready")
                    self.assertEqual(ota.status()["channel"], "stable")

    def test_each_channel_has_its_own_sequence(self):
        rig = fresh("ab")

        def on(channel):
            rig.config["channel"] = channel
            rig.boot()

        ask(rig, nothing(5))
        on("beta")
        self.assertEqual(bound(rig), 0)
        self.assertEqual(ask(rig, nothing(30, channel="beta")), "none")
        self.assertEqual((bound(rig), ota.status()["sequence"]), (30, 30))
        self.refused(PolicyError, "sequence", ask, rig, nothing(29, channel="beta"))
        on("stable")
        self.refused(PolicyError, "sequence", ask, rig, offers(4))
        self.assertEqual(ask(rig, offers(6)), "ready")
        rig.boot()
        trial.confirm()
        on("beta")
        self.refused(PolicyError, "sequence", ask, rig, nothing(29, channel="beta"))
        on("stable")
        self.refused(PolicyError, "sequence", ask, rig, nothing(5))

    def test_of_five_the_one_that_was_not_used_longest_is_forgotten(self):
        rig = fresh("ab")
        for i, channel in enumerate(("a", "b", "c", "d", "a", "e")):
            rig.config["channel"] = channel
            rig.boot()
            ask(rig, nothing(10 + i, channel=channel))
        found = {}
        for channel in "abcde":
            rig.config["channel"] = channel
            rig.boot()
            found[channel] = bound(rig)
        self.assertEqual(found, {"a": 14, "b": 0, "c": 12, "d": 13, "e": 15})


class TestExpired(Case):
    def test_by_the_month_that_is_known(self):
        end = clock.since(9)
        for month, now, good in ((9, 0, True), (10, 0, False), (0, end + 1, False),
                                 (10, end - 5, False), (0, 0, True)):  # fmt: skip
            with self.subTest(month=month, now=now):
                rig = fresh("ab")
                record = rig.device.slots.load()
                record.month = month
                rig.device.slots.save(record)
                if good:
                    self.assertEqual(ask(rig, offers(expires=end), now), "ready")
                else:
                    self.refused(PolicyError, "expired", ask, rig, offers(expires=end), now)


class TestAgain(Case):
    """A release that was given up; reason: why."""

    def given_up(self, rig, reason="tries"):
        """Boot into the trial and back."""
        rig.boot()
        self.assertEqual(ota.status()["state"], "TRIAL")
        if reason == "request":
            trial.rollback(False)
        else:
            modules.load("boot.outcome").go_back(rig.device, rig.device.slots.load(), reason)
        rig.boot()
        self.assertEqual((ota.status()["state"], ota.status()["reason"]), ("IDLE", reason))

    def test_silence_in_a_trial_freezes_nobody(self):
        for strategy in some(STRATEGIES):
            for reason in ("tries", "deadline"):
                with self.subTest(strategy=strategy, reason=reason):
                    rig = fresh(strategy)
                    self.assertEqual(ask(rig, offers()), "ready")
                    for _ in range(2):
                        self.given_up(rig, reason)
                        # Not at once, so that a bad one does not go round and round.
                        for _ in range(2):
                            ops = rig.nor.ops
                            self.refused(PolicyError, "seen", ask, rig, offers())
                            self.assertEqual(rig.nor.ops, ops)
                            rig.boot()
                        # By the second question since the start.
                        self.refused(PolicyError, "seen", ask, rig, offers())
                        self.assertEqual(ask(rig, offers()), "ready")
                    rig.boot()
                    trial.confirm()
                    self.rests(rig, "IDLE", TWO, "0.2")

    def test_it_is_bounded(self):
        rig = fresh("ab")
        taken = []
        for sequence in (1,) * 9 + (2, 2, 3, 3, 4, 4, 5, 6):
            try:
                ask(rig, offers(sequence))
                taken.append(sequence)
                self.given_up(rig)
            except PolicyError as e:
                self.assertEqual(e.reason, "seen")
                taken.append(0)
        # At first, two times more, once for each further manifest, five in all.
        self.assertEqual(taken, [1, 0, 1, 0, 1, 0, 0, 0, 0, 2, 0, 3, 0, 4, 0, 0, 0])
        rig.boot()
        ops = rig.nor.ops
        for _ in range(3):
            self.refused(PolicyError, "seen", ask, rig, offers(6))
        self.assertEqual(rig.nor.ops, ops)  # to say no costs no flash
        # Another release begins anew.
        third = listed([release("0.3", THREE, [entry("q", _THIRD)])], 7)
        self.assertEqual(ask(rig, third), "ready")
        for _ in range(2):
            self.given_up(rig)
            self.refused(PolicyError, "seen", ask, rig, third)
            self.assertEqual(ask(rig, third), "ready")
        self.given_up(rig)
        for _ in range(3):
            self.refused(PolicyError, "seen", ask, rig, third)

    def test_one_that_failed_waits_for_a_manifest(self):
        for reason in ("exception", "mount", "main", "digest"):
            with self.subTest(reason=reason):
                rig = fresh("ab")
                ask(rig, offers(1))
                self.given_up(rig, reason)
                self.refused(PolicyError, "seen", ask, rig, offers(1))
                self.assertEqual(ask(rig, offers(2)), "ready")
                self.given_up(rig, reason)
                self.refused(PolicyError, "seen", ask, rig, offers(2))

    def test_on_request_is_for_good(self):
        rig = fresh("ab")
        ask(rig, offers(1))
        self.given_up(rig, "request")
        for sequence in (1, 2, 9):
            self.refused(PolicyError, "seen", ask, rig, offers(sequence))

    def test_what_anybody_can_send_hides_no_reason(self):
        rig = fresh("ab")
        ask(rig, offers(5))
        self.given_up(rig)
        for kind, word, source in (
            (ManifestError, "manifest", Source(b"<html>")),
            (SignatureError, "key", Source(manifest(content([], 9), (OTHER_KEY,)))),
            (PolicyError, "sequence", nothing(4)),
            (PolicyError, "expired", nothing(9, expires=5)),
            (PolicyError, "channel", nothing(9, channel="beta")),
            (PolicyError, "product", nothing(9, product="toaster")),
        ):
            self.refused(kind, word, ask, rig, source, 6)
            self.assertEqual(ota.status()["reason"], "tries")
        self.refused(PolicyError, "seen", ask, rig, offers(5))
        self.assertEqual(ask(rig, offers(5)), "ready")

    def test_a_download_that_fails_is_not_counted(self):
        rig = fresh("ab")
        ask(rig, offers())
        self.given_up(rig)
        self.refused(PolicyError, "seen", ask, rig, offers())
        bad = offers()
        bad.packages["p"] = _FULL[:-1] + bytes([_FULL[-1] ^ 1])
        for _ in range(6):
            self.refused(VerifyError, "chain", ask, rig, bad)
            rig.boot()
        self.assertEqual(ask(rig, offers()), "ready")
        self.given_up(rig)
        self.refused(PolicyError, "seen", ask, rig, offers())
        self.assertEqual(ask(rig, offers()), "ready")
        self.given_up(rig)
        for _ in range(3):
            self.refused(PolicyError, "seen", ask, rig, offers())

    def test_where_it_cannot_be_counted_it_is_not_taken(self):
        rig = fresh("ab")
        ask(rig, offers())
        self.given_up(rig)

        def full(key, value):
            raise FlashError("full")

        rig.device.kv.set = full
        for sequence in (1, 1, 1, 2):
            self.refused(PolicyError, "seen", ask, rig, offers(sequence))

    def test_power_cut_while_it_is_counted(self):
        cuts = 0
        for n in range(1, 30):
            rig = fresh("ab")
            ask(rig, offers())
            self.given_up(rig)
            choice = manifest_choice(rig)
            record = rig.device.slots.load()
            rig.nor.cut_at(n, "middle")
            try:
                for _ in range(2):
                    accepted.again(rig.device, record, choice)
            except PowerCut:
                cuts += 1
            rig.nor.cut_at(None)
            rig.nor.power_on()
            rig.boot()
            self.assertTrue(rig.runs(ONE))
            try:
                got = ask(rig, offers())
            except PolicyError:
                got = ask(rig, offers())
            self.assertEqual(got, "ready")
            if cuts < n:
                break
        self.assertTrue(1 <= cuts < 29)


def manifest_choice(rig):
    """The choice of 0.2 under the sequence that is kept."""
    choice = type("Choice", (), {})()
    choice.sequence = rig.device.slots.load().sequence
    choice.image_digest = digest(TWO)
    choice.digest = bytes(32)
    return choice


class TestRefused(Case):
    """A release whose package the boot stage refuses, though it came whole."""

    def boot(self, rig, error):
        """A boot whose checks end in error, as often as it looks."""
        settle = modules.load("boot.apply")
        apply = settle.apply

        def fails(*_):
            raise error

        settle.apply = fails
        try:
            rig.boot()
        finally:
            settle.apply = apply
        self.assertEqual((ota.status()["state"], ota.status()["reason"]), ("IDLE", error.reason))
        self.assertTrue(rig.runs(ONE))

    def test_it_is_bounded(self):
        for strategy in some(STRATEGIES):
            for error in (StateError("memory"), PolicyError("fit"), VerifyError("chain")):
                with self.subTest(strategy=strategy, error=error.reason):
                    rig = fresh(strategy)
                    taken = []
                    for sequence in (1,) * 6 + (2, 2, 3, 3, 4, 4, 5, 6):
                        try:
                            self.assertEqual(ask(rig, offers(sequence)), "ready")
                            taken.append(sequence)
                            self.boot(rig, error)
                        except PolicyError as e:
                            self.assertEqual(e.reason, "seen")
                            taken.append(0)
                    # Twice more at once, once for each further manifest, five in all.
                    self.assertEqual(taken, [1, 1, 1, 0, 0, 0, 2, 0, 3, 0, 4, 0, 0, 0])
                    ops = rig.nor.ops
                    self.refused(PolicyError, "seen", ask, rig, offers(6))
                    self.assertEqual(rig.nor.ops, ops)
                    # Another release begins anew.
                    third = listed([release("0.3", THREE, [entry("q", _THIRD)])], 7)
                    self.assertEqual(ask(rig, third), "ready")

    def test_bad_luck_costs_nothing(self):
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                rig = fresh(strategy)
                for _ in range(2):
                    self.assertEqual(ask(rig, offers()), "ready")
                    self.boot(rig, VerifyError("chain"))
                self.assertEqual(ask(rig, offers()), "ready")
                rig.boot()
                trial.confirm()
                self.rests(rig, "IDLE", TWO, "0.2")

    def test_what_is_bad_on_the_way_is_not_counted(self):
        # The network must not keep a good release away by a broken reverse package.
        rig = fresh("inplace")
        good = offers()
        bad = offers()
        bad.packages["r"] = _PLACE[:-1] + bytes([_PLACE[-1] ^ 1])
        for _ in range(9):
            self.refused(VerifyError, "chain", ask, rig, bad)
            rig.boot()
        self.assertEqual(ask(rig, good), "ready")
        rig.boot()
        trial.confirm()
        self.rests(rig, "IDLE", TWO, "0.2")

    def test_where_no_image_runs_it_is_never_kept_away(self):
        rig = fresh("pingpong")
        record = rig.device.slots.load()
        modules.load("boot.outcome").rescue(rig.device, record)
        for _ in range(8):
            self.assertEqual(ask(rig, offers()), "ready")
            record = rig.device.slots.load()
            modules.load("boot.outcome").failed(rig.device, record, StateError("memory"))
            self.assertEqual(ota.status()["state"], "RESCUE")


class TestStatus(Case):
    def test_before_the_first_boot(self):
        rig = blank("ab")
        rig.device = device.current = device.Device(rig.config)
        status = ota.status()
        self.assertEqual((status["state"], status["version"], status["checked"]), ("", "", None))
        rig.boot()
        self.assertEqual(ota.status()["state"], "IDLE")

    def test_when_a_manifest_was_verified(self):
        before, update.time = update.time, Time()
        try:
            rig = fresh("ab")
            ask(rig, nothing(1))
            self.assertEqual(ota.status()["checked"], 77)
            ask(rig, Source(None))  # "still the same" says nobody who signs
            update.time.now = 99
            self.refused(ManifestError, "manifest", ask, rig, Source(b"<html>"))
            self.assertEqual(ota.status()["checked"], 77)
        finally:
            update.time = before


class Time:
    now = 77.5

    def time(self):
        return self.now
