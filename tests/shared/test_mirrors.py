"""Several servers for one update: who is blamed, what is kept, who gets the token."""

import fakenet  # noqa: F401  (before the client: a build without sockets gets some)
import ota
from ota import update
from ota.boot import trial
from ota.errors import (
    FlashError,
    ManifestError,
    PolicyError,
    SignatureError,
    StateError,
    TransportError,
    VerifyError,
)
from ota.source import mirrors
from ota.transport import http
from ota.transport.url import parse
from packer import OTHER_KEY, content, entry, manifest, release
from scenes import ONE, STRATEGIES, TWO, Case, Server, Source, fresh, made

DELTA, PLACE = made("delta"), made("place")


def listed(sequence=1, keys=None, **more):
    """The manifest of 0.2."""
    packages = [entry("delta", DELTA, ONE), entry("place", PLACE, ONE, True)]
    m = content([release("0.2", TWO, packages)], sequence, **more)
    return manifest(m, keys) if keys else manifest(m)


class Mirror(Source):
    """A source that gives packages through a Server; error: raised instead of a manifest."""

    def __init__(self, data=None, packages=None, error=None, limit=1 << 30):
        super().__init__(data or listed(), packages)
        self.error = error
        self.limit = limit
        self.asked = 0
        self.server = None

    def check(self):
        yield None
        self.asked += 1
        if self.error:
            raise self.error
        return self.data

    def open(self, url, size):
        self.opened.append(url)
        data = self.packages.get(url) or {"delta": DELTA, "place": PLACE}[url]
        self.server = Server(data, self.limit)
        return self.server.open


def changed(data, at):
    """Package bytes with one bit flipped."""
    data = bytearray(data)
    data[at] ^= 1
    return bytes(data)


def both(change):
    """Packages of a mirror, each with that change."""
    return {"delta": change(DELTA), "place": change(PLACE)}


class TestRun(Case):
    def got(self, rig, *sources):
        return update.drive(mirrors.run(rig.device, list(sources)))

    def test_the_first_that_is_good_is_enough(self):
        rig = fresh("ab")
        first, second = Mirror(), Mirror()
        self.assertEqual(self.got(rig, first, second)["result"], "ready")
        self.assertEqual((first.asked, second.asked), (1, 0))

    def test_a_mirror_that_is_away_lies_or_is_behind(self):
        # Row 80 of the faults: the mirror is blamed, the next one's package is taken.
        for what, bad in (
            ("away", Mirror(error=TransportError("connect"))),
            ("no manifest", Mirror(b"<html>log in</html>")),
            ("unsigned", Mirror(listed()[: listed().find(b"\nsig") + 1])),
            ("signed by a stranger", Mirror(listed(keys=(OTHER_KEY,)))),
            ("expired", Mirror(listed(expires=1000))),
            ("head", Mirror(None, both(lambda d: b"OTAX" + d[4:]))),
            ("payload", Mirror(None, both(lambda d: changed(d, len(d) // 2)))),
            ("last byte", Mirror(None, both(lambda d: changed(d, len(d) - 1)))),
            ("cut short", Mirror(limit=900)),
        ):  # fmt: skip
            for strategy in STRATEGIES:
                with self.subTest(what=what, strategy=strategy):
                    rig = fresh(strategy)
                    good = Mirror()
                    steps = mirrors.run(rig.device, [bad, good], 2000)
                    self.assertEqual(update.drive(steps)["result"], "ready")
                    rig.boot()
                    trial.confirm()
                    self.rests(rig, "IDLE", TWO, "0.2")

    def test_a_mirror_with_an_older_manifest_is_passed_over(self):
        rig = fresh("ab")
        record = rig.device.slots.load()
        record.sequence = 5
        rig.device.slots.save(record)
        self.assertEqual(self.got(rig, Mirror(listed(4)), Mirror(listed(6)))["result"], "ready")
        rig.boot()
        self.rests(rig, "TRIAL", TWO, "0.2")
        self.assertEqual(ota.status()["sequence"], 6)

    def test_what_lies_in_flash_is_not_fetched_again(self):
        for strategy in ("pingpong", "inplace"):
            with self.subTest(strategy=strategy):
                rig = fresh(strategy)
                size = len(PLACE if strategy == "inplace" else DELTA)
                first, second = Mirror(limit=size * 3 // 4), Mirror()
                self.got(rig, first, second)
                self.assertTrue(second.server.given < size // 2 + 2 * 4096, second.server.given)

    def test_the_last_error_is_what_is_told(self):
        rig = fresh("ab")
        away, lies = TransportError("dns"), Mirror(b"<html>")
        self.refused(ManifestError, "manifest", self.got, rig, Mirror(error=away), lies)
        self.refused(TransportError, "dns", self.got, rig, lies, Mirror(error=away))
        self.refused(SignatureError, "key", self.got, rig, Mirror(listed(keys=(OTHER_KEY,))))
        # A server that is away does not hide why another was refused.
        self.rests(rig, "IDLE", ONE, "0.1", "key")

    def test_what_no_mirror_can_mend_ends_at_once(self):
        rig = fresh("ab")
        never = Mirror()
        for error in (FlashError("io"), PolicyError("fit")):
            other = Mirror(error=error)
            self.refused(type(error), error.reason, self.got, rig, other, never)
        # What is newer than all before is the answer, if it is that there is nothing.
        nothing = Mirror(manifest(content([])))
        self.assertEqual(self.got(rig, nothing, never)["result"], "none")
        self.assertEqual(never.asked, 0)

    def test_one_that_stood_still_does_not_end_the_round(self):
        rig = fresh("ab")
        old = Mirror(manifest(content([], 5)))
        self.assertEqual(self.got(rig, old)["result"], "none")
        self.assertEqual(self.got(rig, old, Mirror(listed(6)))["result"], "ready")
        rig.boot()
        self.rests(rig, "TRIAL", TWO, "0.2")

    def test_nor_does_one_that_says_still_the_same_or_sends_what_is_for_others(self):
        for what, bad in (
            ("304", Mirror()),
            ("product", Mirror(listed(9, product="toaster"))),
            ("channel", Mirror(listed(9, channel="beta"))),
            ("base", Mirror(manifest(content([release("0.2", TWO, [])], 5)))),
        ):
            with self.subTest(what=what):
                rig = fresh("ab")
                self.got(rig, Mirror(manifest(content([], 5))))
                if what == "304":
                    bad.data = None
                self.assertEqual(self.got(rig, bad, Mirror(listed(6)))["result"], "ready")

    def test_all_have_nothing(self):
        rig = fresh("ab")
        mirrors_ = [Mirror(manifest(content([], 5))) for _ in range(3)]
        self.got(rig, *mirrors_)
        away = Mirror(error=TransportError("dns"))
        rig.boot()  # what was written came back
        ops = rig.nor.ops
        self.assertEqual(self.got(rig, *mirrors_)["result"], "none")
        self.assertEqual(rig.nor.ops, ops)
        got = self.got(rig, *mirrors_, away)
        self.assertEqual(got, {"result": "none", "version": "0.1"})
        # Each was asked, once; at first the answer of one was enough.
        self.assertEqual([m.asked for m in mirrors_] + [away.asked], [3, 2, 2, 1])

    def test_what_another_mirror_may_do_better(self):
        for error in (TransportError("connect"), TransportError("changed"), SignatureError("key"),
                      ManifestError("manifest"), VerifyError("chain"), PolicyError("sequence"),
                      PolicyError("expired"), PolicyError("product"), PolicyError("channel"),
                      PolicyError("base"), PolicyError("seen")):  # fmt: skip
            self.assertTrue(mirrors.passes(error), error)
        for error in (PolicyError("fit"), PolicyError("hardware"), FlashError("io"),
                      StateError("memory")):  # fmt: skip
            self.assertFalse(mirrors.passes(error), error)

    def test_all_lie(self):
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                rig = fresh(strategy)
                name = "place" if strategy == "inplace" else "delta"
                data = PLACE if strategy == "inplace" else DELTA
                bad = [Mirror(None, {name: changed(data, len(data) - 1 - i)}) for i in range(2)]
                self.refused(VerifyError, "chain", self.got, rig, *bad)
                self.rests(rig, "IDLE", ONE, "0.1", "chain")


class TestSources(Case):
    URLS = ("http://a/m", "https://b/x/m", "http://a/other")

    def test_in_order_or_spread(self):
        def order(spread):
            return [s._url for s in mirrors.sources(self.URLS, {}, spread)]

        self.assertEqual(order(None), list(self.URLS))
        self.assertEqual(order(b""), list(self.URLS))
        firsts = [order(b"device %d" % i)[0] for i in range(90)]
        for url in self.URLS:
            self.assertTrue(15 < firsts.count(url) < 45, firsts.count(url))
        self.assertEqual(order(b"device 1"), order(b"device 1"))
        self.assertEqual(sorted(order(b"device 1")), sorted(self.URLS))

    def test_the_token_goes_to_the_server_of_the_first_alone(self):
        options = {"headers": {"Authorization": "secret"}, "idle_ms": 7}
        a, b, c = mirrors.sources(self.URLS, options)
        for source, url, token in (
            (a, "http://a/m", True), (a, "http://a/p", True), (a, "http://c/p", False),
            (b, "https://b/x/m", False), (b, "http://a/p", True), (c, "http://a/other", True),
            (a, "https://a/p", False), (a, "http://a:8080/p", False),
        ):  # fmt: skip
            with self.subTest(url=url):
                found = source._meant_for(url)
                home = parse(found["home"])[:3]
                sent = http.fields_for(found["headers"], parse(url)[:3], home)
                self.assertEqual(sent != "", token)
                self.assertEqual(found["idle_ms"], 7)

    def test_no_mirror_at_all(self):
        self.refused(FlashError, "config", mirrors.sources, [], {})
