import ota
from images import PRODUCT, vector
from nor import PowerCut
from ota import clock, state, update
from ota import package as fmt
from ota.boot import trial
from ota.errors import (
    PolicyError,
    RejectError,
    SignatureError,
    TransportError,
)
from ota.source import settings
from packer import OTHER_KEY, Package, content, entry, manifest, noise, release
from rig import KB, opener
from scenes import (
    ONE,
    SIZE,
    STRATEGIES,
    THREE,
    TWO,
    WAYS,
    Case,
    Server,
    Source,
    blank,
    confirmed,
    fetch,
    fresh,
    made,
    outside,
    usual,
)


class TestWay(Case):
    def test_clean_update_of_every_kind(self):
        for strategy, kind in WAYS:
            with self.subTest(strategy=strategy, kind=kind):
                rig = fresh(strategy)
                self.rests(rig, "IDLE", ONE, "0.1")
                got = rig.install(made(kind))
                self.assertEqual((got["result"], got["version"]), ("ready", "0.2"))
                self.assertEqual(got["delta"], kind != "full")
                self.assertEqual(ota.status()["state"], "READY")
                self.assertTrue(rig.runs(ONE))
                rig.boot()
                r = self.rests(rig, "TRIAL", TWO, "0.2")
                self.assertEqual((r.tries, r.old.version), (3, "0.1"))
                self.assertTrue(trial.confirm())
                self.assertFalse(trial.confirm())
                self.rests(rig, "IDLE", TWO, "0.2")

    def test_progress_goes_up_to_the_whole_package(self):
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                rig = fresh(strategy)
                data = made("full")
                steps = []
                update.drive(
                    update.install(rig.device, opener(data)), lambda *step: steps.append(step)
                )
                done = [s[1] for s in steps if s[0] == "stream"]
                # ab counts bytes of the image, the others those of the package.
                total = len(TWO) if strategy == "ab" else len(data)
                self.assertEqual(done, sorted(done))
                self.assertEqual(done[-1], total)
                self.assertEqual(steps[-1], ("arm", 0, 0))
                self.assertEqual([s[2] for s in steps[:-1]], [total] * len(done))

    def test_two_updates_in_turn(self):
        three = Package(THREE, None, "0.3").data()
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                rig, _ = confirmed(strategy)
                rig.install(three)
                rig.boot()
                self.assertTrue(trial.confirm())
                self.rests(rig, "IDLE", THREE, "0.3")

    def test_blocks_smaller_than_the_sector(self):
        # Written in order they fill larger sectors; in place that cannot be made safe.
        for strategy in ("ab", "pingpong"):
            for kind in ("full", "delta"):
                with self.subTest(strategy=strategy, kind=kind):
                    rig = fresh(strategy)
                    rig.install(vector("%s-24k-2048.ota" % kind))
                    rig.boot()
                    self.rests(rig, "TRIAL", TWO, "0.2")

    def test_image_that_gets_shorter_or_longer(self):
        for strategy in STRATEGIES:
            for size in (1, 4095, 4096, 4097, 20000, 30000, 36 * KB):
                with self.subTest(strategy=strategy, size=size):
                    rig = fresh(strategy)
                    new = noise(size)
                    rig.install(Package(new, None).data())
                    rig.boot()
                    self.rests(rig, "TRIAL", new, "0.2")

    def test_unchanged_sectors_are_not_written(self):
        new = bytearray(ONE)
        new[5000] ^= 1
        for strategy, ordered in (("pingpong", False), ("inplace", True)):
            with self.subTest(strategy=strategy):
                rig = fresh(strategy)
                before = rig.nor.wear[:9]
                rig.install(Package(bytes(new), ONE, ordered=ordered).data())
                rig.boot()
                self.rests(rig, "TRIAL", bytes(new), "0.2")
                worn = [b - a for a, b in zip(before, rig.nor.wear[:9])]
                # pingpong always writes its first block
                self.assertEqual(worn[1:], [1] + [0] * 7)
                self.assertEqual(worn[0], 1 if strategy == "pingpong" else 0)


class TestResume(Case):
    def test_broken_download_goes_on(self):
        new = noise(SIZE + 100)
        package = Package(new, None)
        data = package.data()
        head = sum(fmt.lengths(data))
        chunk = 4096 + 5 + 5 + 28
        # ab: from the last restart chunk to the chunk in progress. Staging: what was not
        # programmed yet, the sector before that, and back to the edge of a chunk.
        staged = 2 * 4096 + chunk
        lost = {"ab": 3 * chunk, "pingpong": staged, "inplace": staged}
        for strategy in STRATEGIES:
            for reboot in (False, True):
                for limit in (head - 1, head + 3, 9000, 15000, len(data) - 1):
                    with self.subTest(strategy=strategy, reboot=reboot, limit=limit):
                        rig = fresh(strategy)
                        one, two = Server(data, limit), Server(data)
                        self.refused(TransportError, "short", fetch, rig, one)
                        name = "FETCH" if limit > head else "IDLE"
                        if reboot:
                            rig.boot()
                        self.assertEqual(ota.status()["state"], name)
                        self.assertEqual(ota.status()["reason"], "short")
                        self.assertTrue(rig.runs(ONE))
                        fetch(rig, two)
                        again = one.given + two.given - len(data)
                        self.assertLessEqual(again, head + lost[strategy])
                        rig.boot()
                        self.rests(rig, "TRIAL", new, "0.2")

    def test_many_breaks(self):
        new = noise(SIZE)
        data = Package(new, None, restart=1).data()
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                rig = fresh(strategy)
                given = 0
                for tries in range(40):
                    server = Server(data, 14000)
                    try:
                        fetch(rig, server)
                        break
                    except TransportError:
                        given += server.given
                        rig.boot()
                self.assertGreaterEqual(tries, 2)
                self.assertLessEqual(tries, 10)
                rig.boot()
                self.rests(rig, "TRIAL", new, "0.2")

    def test_power_cut_while_fetching(self):
        new = noise(SIZE)
        data = Package(new, None).data()
        for strategy in STRATEGIES:
            for n in (3, 8, 12):
                with self.subTest(strategy=strategy, n=n):
                    rig = fresh(strategy)
                    rig.nor.cut_at(n, "middle")
                    with self.assertRaises(PowerCut):
                        rig.install(data)
                    rig.nor.power_on()
                    self.assertEqual(rig.boot().state, state.FETCH)
                    self.assertTrue(rig.runs(ONE))
                    fetch(rig, Server(data))
                    rig.boot()
                    self.rests(rig, "TRIAL", new, "0.2")

    def test_another_package_after_half_of_one(self):
        two, three = Package(noise(SIZE, 2), None), Package(noise(SIZE, 3), None, "0.3")
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                rig = fresh(strategy)
                self.refused(TransportError, "short", fetch, rig, Server(two.data(), 15000))
                server = Server(three.data())
                fetch(rig, server)
                self.assertEqual(server.given, len(three.data()))
                rig.boot()
                self.rests(rig, "TRIAL", noise(SIZE, 3), "0.3")

    def test_ready_twice(self):
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                rig = fresh(strategy)
                data = usual(strategy)
                first = rig.install(data)
                ops = rig.nor.ops
                server = Server(data)
                self.assertEqual(fetch(rig, server), first)
                self.assertEqual((rig.nor.ops, server.given), (ops, sum(fmt.lengths(data))))
                self.assertEqual(server.closed, 1)
                rig.boot()
                self.rests(rig, "TRIAL", TWO, "0.2")

    def test_another_package_while_one_is_ready(self):
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                rig = fresh(strategy)
                rig.install(usual(strategy))
                rig.install(Package(THREE, None, "0.3").data())
                rig.boot()
                self.rests(rig, "TRIAL", THREE, "0.3")

    def test_refusal_leaves_what_is_ready(self):
        bad = Package(THREE, None, "0.3", product="toaster").data()
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                rig = fresh(strategy)
                rig.install(usual(strategy))
                self.refused(PolicyError, "product", rig.install, bad)
                self.assertEqual(ota.status()["state"], "READY")
                self.assertEqual(ota.status()["reason"], "product")
                rig.boot()
                self.assertTrue(rig.runs(TWO))


class TestAsk(Case):
    def _source(self, sequence=1, version="0.2", new=TWO, **more):
        full, delta = Package(new, None, version).data(), Package(new, ONE, version).data()
        back = Package(ONE, new, "0.1", ordered=True).data()
        place = Package(new, ONE, version, ordered=True, behind=back).data()
        packages = [
            entry("full", full), entry("delta", delta, ONE), entry("place", place, ONE, True)
        ]  # fmt: skip
        m = manifest(content([release(version, new, packages)], sequence, **more))
        return Source(m, {"full": full, "delta": delta, "place": place})

    def test_asks_decides_and_installs(self):
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                rig = fresh(strategy)
                source = self._source(sequence=7)
                steps = []
                got = update.drive(
                    update.run(rig.device, source), lambda *step: steps.append(step[0])
                )
                self.assertEqual(
                    (got["result"], got["version"], got["delta"]), ("ready", "0.2", True)
                )
                self.assertEqual(steps[:2], ["ask", "decide"])
                self.assertEqual(steps[-1], "arm")
                name = "place" if strategy == "inplace" else "delta"
                self.assertEqual(source.opened, [name])
                self.assertEqual(source.sizes, [len(source.packages[name])])
                rig.boot()
                self.rests(rig, "TRIAL", TWO, "0.2")
                self.assertEqual(ota.status()["sequence"], 7)
                trial.confirm()
                # Asked again there is nothing to do, and an older manifest is refused.
                ops = rig.nor.ops
                got = update.drive(update.run(rig.device, source))
                self.assertEqual((got, rig.nor.ops), ({"result": "none", "version": "0.2"}, ops))
                self.assertEqual(source.told, [("none", 0)])  # and nothing before
                old = self._source(sequence=6, version="0.9")
                self.refused(PolicyError, "sequence", update.drive, update.run(rig.device, old))
                self.rests(rig, "IDLE", TWO, "0.2", "sequence")

    def test_month_of_the_manifest_is_kept(self):
        # As the sequence: in the same records, so that no flash is written for it.
        writes = []
        issued = clock.since(9) + 86400
        for more in ({}, {"issued": issued}):
            rig = fresh("ab")
            ops = rig.nor.ops
            update.drive(update.run(rig.device, self._source(**more)))
            writes.append(rig.nor.ops - ops)
            self.assertEqual(rig.device.slots.load().month, 9 if more else 0)
        self.assertEqual(writes[0], writes[1])
        rig.boot()
        trial.confirm()
        rig.boot()
        self.assertEqual(rig.device.slots.load().month, 9)
        # A manifest that leads to nothing is not accepted; one with less changes nothing.
        update.drive(update.run(rig.device, self._source(2, issued=clock.since(10))))
        self.assertEqual(rig.device.slots.load().month, 9)
        update.drive(update.run(rig.device, self._source(2, "0.3", THREE, issued=86400)))
        self.assertEqual(rig.device.slots.load().month, 9)

    def test_month_of_a_manifest_is_taken_once(self):
        # By each try of a download the month of a publisher whose clock is ahead would go on.
        before, clock.now = clock.now, lambda sure=False: 0
        try:
            rig = fresh("ab")
            source = self._source(issued=0xFFFFFFFF)
            data, source.packages["delta"] = source.packages["delta"], b""
            for _ in range(3):
                self.refused(TransportError, "short", update.drive, update.run(rig.device, source))
            source.packages["delta"] = data[:-9]
            for _ in range(3):
                self.refused(TransportError, "short", update.drive, update.run(rig.device, source))
                self.assertEqual(ota.status()["state"], "FETCH")
                self.assertEqual(rig.device.slots.load().month, 12)
            source.packages["delta"] = data
            update.drive(update.run(rig.device, source))
            self.assertEqual(rig.device.slots.load().month, 12)
        finally:
            clock.now = before

    def test_month_is_what_has_surely_passed_for_tls(self):
        rig = blank("ab")
        rig.config["http"] = {"idle_ms": 5}
        rig.boot()
        self.assertEqual(settings.options(rig.device), {"idle_ms": 5})
        record = rig.device.slots.load()
        record.month = 9
        rig.device.slots.save(record)
        month = clock.since(9)
        ready = object()
        for tls, want in (
            (None, {"built": month}), ({}, {"built": month}),
            ({"ntp": "x"}, {"ntp": "x", "built": month}),
            ({"built": month - 1}, {"built": month}), ({"built": month + 1}, {"built": month + 1}),
            (ready, ready),
        ):  # fmt: skip
            with self.subTest(tls=tls):
                before = rig.config["http"] = {"idle_ms": 5, "tls": tls}
                copy = dict(before["tls"]) if isinstance(tls, dict) else tls
                self.assertEqual(settings.options(rig.device), {"idle_ms": 5, "tls": want})
                self.assertEqual(before["tls"], copy)  # the configuration is the owner's
        rig.config["http"] = {}
        self.assertEqual(settings.options(rig.device), {"tls": {"built": month}})

    def test_source_that_has_nothing(self):
        rig = fresh("ab")
        ops = rig.nor.ops
        got = update.drive(update.run(rig.device, Source(None)))
        self.assertEqual((got, rig.nor.ops), ({"result": "none", "version": "0.1"}, ops))

    def test_manifest_that_is_none_of_ours(self):
        good = self._source().data
        for what, kind, word, data in (
            ("empty", RejectError, "manifest", b""),
            ("html", RejectError, "manifest", b"<html>404</html>"),
            ("unsigned", RejectError, "manifest", good[: good.find(b"\nsig") + 1]),
            ("changed", SignatureError, "signature", good.replace(b'"0.2"', b'"0.3"')),
            ("stranger", SignatureError, "key", manifest(content([]), (OTHER_KEY,))),
            ("product", PolicyError, "product", manifest(content([], product="toaster"))),
            ("too long", RejectError, "size", bytes(9000)),
        ):
            with self.subTest(what=what):
                rig = fresh("ab")
                before = outside(rig)
                steps = update.run(rig.device, Source(data))
                self.refused(kind, word, update.drive, steps)
                self.assertTrue(before == outside(rig))
                self.rests(rig, "IDLE", ONE, "0.1", word)

    def test_source_that_fails(self):
        rig = fresh("ab")

        def check():
            yield None
            raise TransportError("dns")

        source = Source(b"")
        source.check = check
        self.refused(TransportError, "dns", update.drive, update.run(rig.device, source))
        self.rests(rig, "IDLE", ONE, "0.1", "dns")

    def test_a_package_that_was_replaced_is_asked_for_again(self):
        for times, word in ((1, None), (2, "changed")):
            rig = fresh("ab")
            source = self._source()
            good = source.open
            left = [times]

            def replaced(url, size):
                left[0] -= 1
                if left[0] < 0:
                    return good(url, size)
                return self._changed

            source.open = replaced
            steps = update.run(rig.device, source)
            if word:
                self.refused(TransportError, word, update.drive, steps)
            else:
                self.assertEqual(update.drive(steps)["result"], "ready")
            self.assertEqual(source.closed, 1)

    @staticmethod
    def _changed(offset):
        yield None
        raise TransportError("changed", 200)

    def test_rolled_back_image_is_not_taken_again(self):
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                rig = fresh(strategy)
                update.drive(update.run(rig.device, self._source()))
                rig.boot()
                trial.rollback(False)
                rig.boot()
                before = outside(rig)
                source = self._source(sequence=2)
                self.refused(PolicyError, "seen", update.drive, update.run(rig.device, source))
                self.assertEqual(source.opened, [])
                self.assertTrue(before == outside(rig))
                # Why it was given up stays readable.
                self.rests(rig, "IDLE", ONE, "0.1", "request")
                # The next version is.
                source = self._source(sequence=3, version="0.3", new=THREE)
                update.drive(update.run(rig.device, source))
                rig.boot()
                self.rests(rig, "TRIAL", THREE, "0.3")

    def test_garbage_is_collected_as_before_afterwards(self):
        now = [-1]

        def threshold(n=None):
            if n is None:
                return now[0]
            now[0] = n

        def often():
            before, now[0] = now[0], 999
            return before

        was = update.threshold, update.collect_often
        update.threshold, update.collect_often = threshold, often
        try:
            for stop in (1, 2, 3, 999):
                source = self._source(product="x") if stop == 3 else self._source()
                steps = update.run(fresh("ab").device, source)
                seen = []
                try:
                    for _ in range(stop):
                        next(steps)
                        seen.append(now[0])
                except (StopIteration, PolicyError):
                    pass
                steps.close()
                self.assertEqual(now, [-1])
                self.assertEqual(seen, [999] * len(seen))
            steps = update.install(fresh("ab").device, opener(usual("ab")))
            next(steps)
            self.assertEqual(now, [999])
            steps.close()
            self.assertEqual(now, [-1])
        finally:
            update.threshold, update.collect_often = was

    def test_stopping_anywhere_leaves_the_running_image(self):
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                rig = fresh(strategy)
                source = self._source()
                for stop in range(1, 40):
                    steps = update.run(rig.device, source)
                    try:
                        for _ in range(stop):
                            next(steps)
                    except StopIteration:
                        pass
                    steps.close()
                    if ota.status()["state"] == "READY":
                        break
                    rig.boot()
                    self.assertIn(ota.status()["state"], ("IDLE", "FETCH"))
                    self.assertTrue(rig.runs(ONE))
                self.assertGreaterEqual(stop, 3)
                self.assertEqual(ota.status()["state"], "READY")
                rig.boot()
                self.rests(rig, "TRIAL", TWO, "0.2")

    def test_product_of_the_rig(self):
        self.assertEqual(ota.status()["product"], PRODUCT)
