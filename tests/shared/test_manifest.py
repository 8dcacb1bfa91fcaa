import json
import unittest
from binascii import hexlify

import vector_files
from images import KEY, PRODUCT
from ota import manifest
from ota.crypto import Keys
from ota.errors import ManifestError, PolicyError, SignatureError
from ota.state import record as slots
from packer import OTHER_KEY, Package, content, described, entry, ident, line, noise, release
from packer import manifest as signed

_KEYS = Keys([KEY])
_OLD, _NEW = noise(300, 1), noise(300, 2)
_FULL = Package(_NEW, None, block=256).data()
_DELTA = Package(_NEW, _OLD, block=256).data()
_PLACE = Package(_NEW, _OLD, block=256, ordered=True).data()
_DELETE = object()


def _content(**more):
    packages = [entry("full.ota", _FULL), entry("delta.ota", _DELTA, _OLD)]
    return content([release("1.10.0", _NEW, packages, floor=3)], sequence=9, **more)


def _small():
    return content([release("1.1", _NEW, [entry("a", _FULL)])])


def _refused(case, kind, word, data, keys=_KEYS):
    with case.assertRaises(kind) as cm:
        manifest.parse(data, keys)
    case.assertEqual(cm.exception.reason, word)
    return cm.exception


def _at(m, path):
    """The dict or list that path ends in, and its last name."""
    for p in path[:-1]:
        m = m[p]
    return m, path[-1]


class TestParse(unittest.TestCase):
    def test_good_one(self):
        data = signed(_content(issued=5, expires=6, notes="free", critical=["issued"]))
        m = manifest.parse(data, _KEYS)
        self.assertEqual((m["product"], m["channel"], m["sequence"]), (PRODUCT, "stable", 9))
        r = m["releases"][0]
        self.assertEqual((r["version"], r["floor"]), ("1.10.0", 3))
        one = r["images"][0]
        self.assertEqual((one["target"], one["size"]), ("app", 300))
        self.assertEqual(hexlify(one["digest"]).decode(), described(_NEW)["digest"])
        full, delta = one["packages"]
        self.assertEqual((full["url"], full["base"], full["in_place"]), ("full.ota", None, False))
        self.assertEqual(hexlify(delta["base"]["digest"]).decode(), described(_OLD)["digest"])
        self.assertEqual(len(delta["digest"]), 32)

    def test_no_releases_is_good(self):
        self.assertEqual(manifest.parse(signed(content([])), _KEYS)["releases"], [])

    def test_any_bytes_like(self):
        data = signed(_small())
        for kind in (bytearray, memoryview):
            self.assertEqual(manifest.parse(kind(data), _KEYS)["sequence"], 1)

    def test_every_truncation_is_refused(self):
        data = signed(_small())
        # The last line end may be missing; everything else is needed.
        for n in range(len(data) - 1):
            try:
                manifest.parse(data[:n], _KEYS)
                self.assertTrue(False, n)
            except (ManifestError, SignatureError):
                pass
        manifest.parse(data[:-1], _KEYS)

    def test_every_flipped_bit_is_refused(self):
        data = bytearray(signed(_small()))
        for bit in range(len(data) * 8):
            data[bit // 8] ^= 1 << bit % 8
            try:
                manifest.parse(data, _KEYS)
                self.assertTrue(False, bit)
            except (ManifestError, SignatureError):
                pass
            data[bit // 8] ^= 1 << bit % 8
        manifest.parse(data, _KEYS)

    def test_size_limit(self):
        m = _small()
        m["notes"] = ""
        m["notes"] = "n" * (8192 - len(signed(m)))
        self.assertEqual(len(signed(m)), 8192)
        manifest.parse(signed(m), _KEYS)
        m["notes"] += "n"
        e = _refused(self, ManifestError, "size", signed(m))
        self.assertEqual(e.args[1], 8193)
        _refused(self, ManifestError, "size", bytes(100000))

    def test_no_manifest_at_all(self):
        for data in (
            b"", b"\n", b"{}", b"{}\n", b"sig a b\n", b"<html>\nsig 00 00\n", b"OTAP" + bytes(60),
            b"[]\nsig 00 00\n", b" {}\nsig 00 00\n", b"\xef\xbb\xbf{}\nsig 00 00\n",
            b"\xff" * 100, b"{}\r\nsig\n",
        ):  # fmt: skip
            with self.subTest(data=data):
                _refused(self, ManifestError, "manifest", data)

    def test_changed_on_the_way(self):
        # As git, an editor or FTP change a text: it says what was done to the file.
        good = signed(_small())
        sig = good.find(b"\nsig ") + 1
        for how, data in (
            ("byte order mark", b"\xef\xbb\xbf" + good), ("byte order mark", b"\xff\xfe{\0"),
            ("byte order mark", b"\xfe\xff\0{"), ("line ends", good.replace(b"\n", b"\r\n")),
            ("line ends", good[:-1] + b"\r\n"),
            ("line ends", good[: sig - 1] + b"\r\n" + good[sig:]),
        ):  # fmt: skip
            with self.subTest(data=data[:4]):
                e = _refused(self, ManifestError, "manifest", data)
                self.assertEqual(e.args[1], how)
        # Not what has such line ends only in what nobody signed, or where they were signed.
        manifest.parse(good + b"sig 00 00\r\n", _KEYS)
        manifest.parse(signed(json.dumps(_small()).encode() + b"\r\n"), _KEYS)
        self.assertEqual(_refused(self, SignatureError, "key", good, Keys([])).args, ("key",))

    def test_nothing_stands_before_the_object(self):
        body = json.dumps(_small()).encode()
        manifest.parse(signed(body), _KEYS)
        for before in (b" ", b"\n", b"\t", b"["):
            _refused(self, ManifestError, "manifest", signed(before + body))

    def test_signed_but_no_json_object(self):
        for text in (
            b"{", b"{]", b'{"format":1', b'{"format":1}}', b'{"format":1} x', b"{\xff}", b"{\0}",
            b'{"format":tru}', b"{" * 2000, b'{"a":' * 1000, b'{"a":' + b"[" * 5000,
            b'{"format":1,"notes":"\xc3\x28"}', b"{[1]:2}", b"{{}:2}",
        ):  # fmt: skip
            with self.subTest(text=text[:20]):
                with self.assertRaises(ManifestError) as cm:
                    manifest.parse(signed(text), _KEYS)
                self.assertIn(cm.exception.reason, ("manifest", "field", "format"))

    def test_other_formats(self):
        for value in (0, 2, 1 << 31):
            m = _small()
            m["format"] = value
            _refused(self, ManifestError, "format", signed(m))

    def test_critical_members(self):
        for names, good in (
            ([], True), (["format", "product", "channel", "sequence"], True),
            (["issued", "expires", "critical", "releases"], True), (["rollout"], False),
            (["format", "later"], False), ([1], False), ([None], False), ([["format"]], False),
        ):  # fmt: skip
            with self.subTest(names=names):
                data = signed(_content(critical=names, later=1))
                if good:
                    manifest.parse(data, _KEYS)
                else:
                    _refused(self, ManifestError, "critical", data)
        for value in ("format", 1, {}, None):
            _refused(self, ManifestError, "field", signed(_content(critical=value)))

    def test_unknown_members_are_ignored(self):
        m = _content(later={"deep": [[[1.5, None]]]}, notes="\u00e9")
        m["releases"][0]["notes"] = ["new"]
        m["releases"][0]["images"][0]["kind"] = {"romfs": True}
        m["releases"][0]["images"][0]["packages"][0]["rollout"] = 10
        self.assertEqual(manifest.parse(signed(m), _KEYS)["sequence"], 9)

    def test_duplicate_member_counts_once(self):
        # JSON leaves it open; both interpreters take the last, and what is taken is checked.
        body = json.dumps(_small())[:-1].encode()
        m = manifest.parse(signed(body + b',"sequence":77}'), _KEYS)
        self.assertEqual(m["sequence"], 77)
        _refused(self, ManifestError, "field", signed(body + b',"sequence":"77"}'))
        _refused(self, ManifestError, "format", signed(body + b',"format":2}'))

    def test_each_member_missing_or_wrong(self):
        texts = (_DELETE, 1, None, [], {}, True, "", "a b", "a\n", "\u00e9", "a" * 33)
        numbers = (_DELETE, "1", None, [], {}, True, False, -1, 1 << 32, 10**30, 1.0, 1.5, 1e300)
        sizes = numbers + (0,)
        versions = texts + ("1.", "x", "1.2.3.4.5", "123456", "12345.12345.1234")
        lists = (_DELETE, 1, None, "list", {}, True, [1] * 33)
        digests = (
            _DELETE, 1, None, "", "00" * 31, "00" * 33, "0" * 63, "zz" * 32, "00" * 31 + "0x",
            " " * 64,
        )  # fmt: skip
        one = ("releases", 0, "images", 0)
        package = one + ("packages", 1)
        count = 0
        for path, values in (
            (("format",), numbers), (("product",), texts), (("channel",), texts),
            (("sequence",), numbers), (("issued",), numbers[1:]), (("expires",), numbers[1:]),
            (("releases",), lists), (("releases", 0), lists[1:]),
            (("releases", 0, "version"), versions), (("releases", 0, "floor"), numbers),
            (("releases", 0, "images"), lists), (one, lists[1:]), (one + ("target",), texts),
            (one + ("size",), sizes), (one + ("digest",), digests), (one + ("packages",), lists),
            (package, lists[1:]), (package + ("url",), texts[:-1] + ("u" * 513,)),
            (package + ("size",), sizes), (package + ("digest",), digests),
            (package + ("base",), (1, "x", [], {}, True)), (package + ("base", "size"), sizes),
            (package + ("base", "digest"), digests),
        ):  # fmt: skip
            for value in values:
                with self.subTest(path=path, value=str(value)[:40]):
                    m = _content()
                    where, last = _at(m, path)
                    if value is _DELETE:
                        del where[last]
                    else:
                        where[last] = value
                    with self.assertRaises(ManifestError) as cm:
                        manifest.parse(signed(m), _KEYS)
                    self.assertIn(cm.exception.reason, ("field", "format"))
                    count += 1
        self.assertGreaterEqual(count, 200)

    def test_lists_have_32_entries_at_most(self):
        one = release("1.1", _NEW, [])
        image = one["images"][0]
        package = entry("a", _FULL)
        for n in (32, 33):
            for m in (
                content([], critical=["format"] * n), content([one] * n),
                content([dict(one, images=[image] * n)]),
                content([dict(one, images=[dict(image, packages=[package] * n)])]),
            ):  # fmt: skip
                m = json.dumps(m).encode()
                if len(signed(m)) > manifest.MANIFEST_MAX:
                    # So long that its size is refused first: what read() makes of it.
                    def parse(m=m):
                        return manifest.read(m, len(m))
                else:

                    def parse(m=m):
                        return manifest.parse(signed(m), _KEYS)

                if n == 32:
                    parse()
                    continue
                with self.assertRaises(ManifestError) as cm:
                    parse()
                self.assertEqual(cm.exception.reason, "field")

    def test_huge_numbers(self):
        body = json.dumps(_small())
        for text in ("9" * 5000, "-" + "9" * 3000, "1e999", "0.1e99", "-0.0", "4294967296"):
            with self.subTest(text=text[:12]):
                bad = body.replace('"sequence": 1', '"sequence": ' + text)
                self.assertNotEqual(bad, body)
                with self.assertRaises(ManifestError) as cm:
                    manifest.parse(signed(bad.encode()), _KEYS)
                self.assertIn(cm.exception.reason, ("field", "manifest"))


class TestSignatures(unittest.TestCase):
    def test_not_signed_or_by_others(self):
        body = signed(_small(), ())
        _refused(self, ManifestError, "manifest", body)
        _refused(self, SignatureError, "key", body + b"sig \n")
        _refused(self, SignatureError, "key", body + b"sig a\n")
        _refused(self, SignatureError, "key", body + b"sig a b c\n")
        _refused(self, SignatureError, "key", signed(_small(), (OTHER_KEY,)))
        _refused(self, SignatureError, "key", signed(_small()), Keys([]))

    def test_bad_signatures(self):
        body = signed(_small(), ())
        good = line(body).split(b" ")
        name = hexlify(ident())
        for bad in (
            line(body + b" "), line(body[:-1]), line(signed(content([]), ())),
            b"sig " + name + b" \n", b"sig " + name + b" AAAA\n",
            b"sig " + name + b" " + line(body, OTHER_KEY).split(b" ")[2],
            b"sig " + name + b" " + good[2][:-1] + good[2],
        ):  # fmt: skip
            with self.subTest(bad=bad):
                with self.assertRaises((SignatureError, ManifestError)) as cm:
                    manifest.parse(body + bad, _KEYS)
                self.assertIn(cm.exception.reason, ("signature", "manifest"))

    def test_lines_are_taken_in_one_form_only(self):
        body = signed(_small(), ())
        name, mac = line(body)[:-1].split(b" ")[1:]
        for bad in (
            b"sig " + name.upper() + b" " + mac, b"sig " + name + b" " + mac + b"=",
            b"sig " + name + b" " + mac + b"\r", b"sig " + name + b"  " + mac,
            b"sig " + name + b" " + mac[:20] + b"\t" + mac[20:], b"sig zz" + name + b" " + mac,
            b"sig " + name + b" " + b"!" + mac, b"sig 0" + name + b" " + mac,
        ):  # fmt: skip
            with self.subTest(bad=bad):
                with self.assertRaises((SignatureError, ManifestError)) as cm:
                    manifest.parse(body + bad + b"\n", _KEYS)
                self.assertIn(cm.exception.reason, ("manifest", "key"))

    def test_several_lines(self):
        body = signed(_small(), ())
        ours, other = line(body), line(body, OTHER_KEY)
        manifest.parse(body + other + ours, _KEYS)
        manifest.parse(body + other + ours, Keys([OTHER_KEY]))
        manifest.parse(body + other * 3 + ours, _KEYS)
        manifest.parse(body + ours + other, _KEYS)
        # Only four lines are looked at.
        _refused(self, SignatureError, "key", body + other * 4 + ours)
        # The first line of a key we trust must fit.
        _refused(self, SignatureError, "signature", body + line(body + b" ") + ours)

    def test_line_in_the_middle_ends_what_is_signed(self):
        # Whatever stands behind the first signature line is no part of the manifest.
        body = signed(_small(), ())
        other = signed(content([], sequence=2), ())
        m = manifest.parse(body + line(body) + other + line(other), _KEYS)
        self.assertEqual(m["sequence"], 1)

    def test_rsa_and_hmac(self):
        data = vector_files.load("signed/manifest.ota")
        public = json.loads(vector_files.load("signed/rsa.pub.json").decode())
        for keys in ([public], [KEY], [KEY, public]):
            self.assertEqual(manifest.parse(data, Keys(keys))["sequence"], 1)
        _refused(self, SignatureError, "key", data, Keys([OTHER_KEY]))
        bad = data.replace(b'"sequence":1', b'"sequence":2')
        _refused(self, SignatureError, "signature", bad, Keys([public]))


class _Device:
    product = PRODUCT
    component = "app"

    def __init__(self, strategy, device_id=b""):
        self.in_place = strategy == "inplace"
        self.device_id = device_id


def _record(version="1.9.0", base=_OLD, sequence=5, floor=0):
    r = slots.Record()
    r.sequence, r.floor = sequence, floor
    if version:
        digest = manifest.unhexlify(described(base)["digest"])
        r.image = slots.Image(version, 0, len(base), digest)
    return r


def _decide(releases, strategy="ab", record=None, now=0, **more):
    more.setdefault("sequence", 9)
    m = manifest.parse(signed(content(releases, **more)), _KEYS)
    return manifest.decide(m, _Device(strategy), record or _record(), now)


_E_FULL = entry("full", _FULL)
_E_DELTA = entry("delta", _DELTA, _OLD)
_E_OTHER = entry("other", _DELTA, _NEW)
_E_PLACE = entry("place", _PLACE, _OLD, True)
_SHORTER = dict(_E_DELTA)
_SHORTER["base"] = dict(_E_DELTA["base"])
_SHORTER["base"]["size"] = 299
_ALL = [_E_FULL, _E_OTHER, _E_DELTA, _E_PLACE]


def _r(version, packages=_ALL, floor=0, target="app"):
    return release(version, _NEW, packages, floor, target)


class TestRollout(unittest.TestCase):
    # Of SHA-256("1.10.0\0lamp-7") and so on, by sha256sum.
    PLACES = (("1.10.0", b"lamp-7", 617), ("1.10.0", b"lamp-8", 4371), ("1.11", b"lamp-7", 3722))

    def taken(self, device_id, releases):
        m = manifest.parse(signed(content(releases, sequence=9)), _KEYS)
        choice = manifest.decide(m, _Device("ab", device_id), _record())
        return choice and choice.version

    def test_a_share_of_the_fleet(self):
        for version, device_id, place in self.PLACES:
            for share, part in ((place, False), (place + 1, True), (0, False), (10000, True)):
                with self.subTest(version=version, device_id=device_id, share=share):
                    self.assertEqual(
                        manifest.takes_part(device_id, {"version": version, "rollout": share}),
                        part,
                    )

    def test_about_as_many_as_the_share_says(self):
        for share in (100, 2500, 9900):
            r = {"version": "2.0", "rollout": share}
            n = sum(manifest.takes_part(b"device %d" % i, r) for i in range(2000))
            self.assertTrue(abs(n - share / 5) < 60, n)

    def test_others_take_the_release_before(self):
        new = _r("1.11")
        new["rollout"] = 3723
        self.assertEqual(self.taken(b"lamp-7", [_r("1.10.0"), new]), "1.11")
        new["rollout"] = 3722
        self.assertEqual(self.taken(b"lamp-7", [_r("1.10.0"), new]), "1.10.0")
        self.assertIsNone(self.taken(b"lamp-7", [new]))

    def test_without_an_id_a_board_waits_for_the_whole(self):
        new = _r("1.11")
        for share, want in ((9999, None), (10000, "1.11")):
            new["rollout"] = share
            self.assertEqual(self.taken(b"", [new]), want)

    def test_bad_shares(self):
        for share in (10001, -1, 1 << 32, "10", 0.5, True, None, [1]):
            r = _r("1.10.0")
            r["rollout"] = share
            _refused(self, ManifestError, "field", signed(content([r])))


class TestDecide(unittest.TestCase):
    # what, releases, record, what ab and pingpong take, what inplace takes: (version, url),
    # None for nothing to do, or the word of the refusal.
    def test_situations(self):
        both = ("1.10.0", "full")
        rows = (
            ("no release", [], {}, None, None),
            ("the running one", [_r("1.9.0")], {}, None, None),
            ("an older one", [_r("1.8.9")], {}, None, None),
            ("1.10 is above 1.9", [_r("1.10.0")], {}, ("1.10.0", "delta"), ("1.10.0", "place")),
            ("2 is older than 10", [_r("2")], {"version": "10"}, None, None),
            ("patch first in the list", [_r("1.10.0", [_E_DELTA, _E_FULL])],
             {}, ("1.10.0", "delta"), ("1.10.0", "full")),
            ("full only", [_r("1.10.0", [_E_FULL])], {}, both, both),
            ("patch for another base", [_r("1.10.0", [_E_OTHER, _E_FULL])], {}, both, both),
            ("base of another size", [_r("1.10.0", [_SHORTER, _E_FULL])], {}, both, both),
            ("only patches for others", [_r("1.10.0", [_E_OTHER])], {}, "base", "base"),
            ("no package", [_r("1.10.0", [])], {}, "base", "base"),
            ("patch in place only", [_r("1.10.0", [_E_PLACE])], {}, "base", ("1.10.0", "place")),
            ("patch in order only", [_r("1.10.0", [_E_DELTA])], {}, ("1.10.0", "delta"), "base"),
            ("two fulls", [_r("1.10.0", [_E_FULL, entry("second", _FULL)])], {}, both, both),
            ("the newest of several", [_r("1.9.1"), _r("1.10.0"), _r("1.9.9")], {},
             ("1.10.0", "delta"), ("1.10.0", "place")),
            ("the newest without a package for us", [_r("1.9.1"), _r("1.10.0", [_E_OTHER])], {},
             "base", "base"),
            ("below the floor", [_r("1.10.0", floor=4)], {"floor": 5}, None, None),
            ("at the floor", [_r("1.10.0", [_E_FULL], 5)], {"floor": 5}, both, both),
            ("newest below the floor", [_r("1.10.0", floor=4), _r("1.9.5", [_E_FULL], 5)],
             {"floor": 5}, ("1.9.5", "full"), ("1.9.5", "full")),
            ("for another target", [_r("1.10.0", target="fonts")], {}, None, None),
            ("newest not for us", [_r("1.11", target="fonts"), _r("1.10.0", [_E_FULL])], {},
             both, both),
            ("same sequence again", [_r("1.10.0", [_E_FULL])], {"sequence": 9}, both, both),
            ("nothing runs", [_r("0.0.1")], {"version": ""}, ("0.0.1", "full"), ("0.0.1", "full")),
        )  # fmt: skip
        for what, releases, record, usual, place in rows:
            for strategy, want in (("ab", usual), ("pingpong", usual), ("inplace", place)):
                with self.subTest(what=what, strategy=strategy):
                    if isinstance(want, str):
                        with self.assertRaises(PolicyError) as cm:
                            _decide(releases, strategy, _record(**record))
                        self.assertEqual(cm.exception.reason, want)
                        continue
                    choice = _decide(releases, strategy, _record(**record))
                    got = choice and (choice.version, choice.url)
                    self.assertEqual(got, want)

    def test_choice_says_it_all(self):
        c = _decide([_r("1.10.0", floor=3)])
        self.assertEqual((c.sequence, c.version, c.floor, c.target), (9, "1.10.0", 3, "app"))
        self.assertEqual(c.issued, 0)
        self.assertEqual(_decide([_r("1.10.0")], issued=5).issued, 5)
        self.assertEqual((c.image_size, c.size, c.delta), (300, len(_DELTA), True))
        self.assertEqual(hexlify(c.image_digest).decode(), described(_NEW)["digest"])
        self.assertEqual(hexlify(c.digest).decode(), _E_DELTA["digest"])
        self.assertFalse(_decide([_r("1.10.0", [_E_FULL])]).delta)

    def test_manifest_older_than_the_one_before(self):
        with self.assertRaises(PolicyError) as cm:
            _decide([_r("1.10.0")], record=_record(sequence=10))
        self.assertEqual(cm.exception.args, ("sequence", 9, 10))

    def test_another_product(self):
        m = manifest.parse(signed(content([_r("1.10.0")], product="other")), _KEYS)
        with self.assertRaises(PolicyError) as cm:
            manifest.decide(m, _Device("ab"), _record())
        self.assertEqual(cm.exception.reason, "product")

    def test_expired(self):
        for expires, now, good in (
            (1000, 999, True), (1000, 1000, True), (1000, 1001, False),
            (1000, 0, True), (0, 1001, True), (None, 1001, True),
        ):  # fmt: skip
            with self.subTest(expires=expires, now=now):
                more = {} if expires is None else {"expires": expires}
                if good:
                    self.assertIsNotNone(_decide([_r("1.10.0")], now=now, **more))
                    continue
                with self.assertRaises(PolicyError) as cm:
                    _decide([_r("1.10.0")], now=now, **more)
                self.assertEqual(cm.exception.reason, "expired")
