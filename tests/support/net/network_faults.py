"""Whole updates over a network that misbehaves: the cases, by row of docs/network-faults.md.

Each case gets a folder of its own on the server: "manifest" and "package", which are served
well unless the case says otherwise, and further pages. players/update.py plays them.
"""

from dataclasses import dataclass, field

import scenes
from fault_pages import chunked, file, head
from images import vector
from packer import OTHER_KEY, Package, content, entry, manifest, noise, release

PACKAGE = vector("full-24k-4096.ota")
LONG = Package(scenes.TWO, None).data()  # the same image, not compressed
SIZE = len(PACKAGE)
NEXT = vector("full-24k-2048.ota")
OTHER = scenes.TWO[:9000] + b"?" + scenes.TWO[9001:]  # an image of the same size
LARGE = Package(noise(64 * 1024), None).data()  # for no slot
TAG = 'ETag: "v1"'
QUICK_MS = 1000  # a busy machine does not answer at once
QUICK = {"idle_ms": QUICK_MS}
SLOW = {"rate": 2000, "rate_ms": 200}
RETRIES = 3  # of players/update.py
ASKED = 3  # times for a manifest that does not come

HEAD_MAX = 32768 + 4096  # bytes of a head that are read before it is refused
ANY = -1
STEPS = 60  # of an update, and more
SPARE = 64 * 1024  # bytes of heap that are enough for an update, and not for much beside it

ALL, MORE, SOME, BEGUN, NONE = "all", "more", "some", "begun", "none"
STRATEGIES = ("ab", "pingpong", "inplace")


_RESUMED = (9, 10, 29, 31, 32)  # rows played with every strategy


@dataclass
class Fault:
    """One case.

    words: of the error, or () for an update that comes through; each a word or several of
    which one must come. written: ALL that a clean update writes, SOME or NONE of it, MORE: up to
    twice as much, BEGUN: what the first 3000 bytes of the package give and no more; or (bytes,
    erases). asks: requests for the manifest; asked: for the package, if nothing else is said none
    behind a manifest that is refused, else one; ANY: as it comes. extra: bytes that may arrive
    beside one manifest, one package and heads. waits: ms that it takes at least, and not much
    more. manifest, package: pages instead of the good ones; more: further pages by name.
    names: of lookups, "refused", "full", "other" for a port, or numbers as names.py takes them.
    result: of an update without an error, "" for any, "refused": by the boot stage. url: of the
    manifest, or mirrors. ranges: a page, and the Range of each request for it or None. without:
    fields that no request may have; elsewhere: that none to the other server may have; other:
    requests there. reused: connections may carry several requests. sequence: of the newest
    manifest afterwards. stop, spare, window, floor: as players/update.py takes them.
    """

    row: int
    name: str
    words: tuple = ()
    manifest: object = None
    package: object = None
    written: object = None
    asks: int = 1
    asked: int | None = None
    extra: int = 0
    waits: int = 0
    more: dict = field(default_factory=dict)
    names: tuple = ()
    http: dict = field(default_factory=dict)
    retries: int = RETRIES
    url: object = "manifest"
    result: str = "ready"
    first: object = None
    now: int = 0
    erase_ms: int = 0
    stop: int | None = None
    spare: int | None = None
    window: int | None = None
    floor: int | None = None
    scheme: str = ""
    # By default two for a fault of the package, as the third stages it as the second does; one
    # for a fault of the manifest, which is read before there is a strategy.
    strategies: tuple = ()
    ranges: tuple = ()
    without: tuple = ()
    elsewhere: tuple = ()
    other: int | None = None
    reused: bool = False
    sequence: int | None = None

    def __post_init__(self):
        if not self.strategies:
            late = self.package or self.more or self.names  # names are looked up for both
            n = 3 if self.row in _RESUMED else 2 if late else 1
            self.strategies = STRATEGIES[:n]
        if self.written is None:
            self.written = NONE if self.words or self.result == "none" else ALL
        if self.asked is None:
            refused = self.words and not self.package or self.result == "none"
            self.asked = 0 if refused else 1


def described(data=PACKAGE, sequence=5, version="0.2", new=scenes.TWO, floor=0, **more):
    """A manifest that leads to a package beside it."""
    packages = [entry("package", data, more.pop("base", None))]
    return content([release(version, new, packages, floor)], sequence, **more)


def signed(data=PACKAGE, **more):
    """The bytes of described()."""
    return manifest(described(data, **more))


def staged(package):
    """Bytes programmed and sectors erased for a package in the OTA partition."""
    sectors = -(-len(package) // 4096)
    return sectors * 4096, sectors


MANIFEST = signed()
CLEAN = signed(sequence=10)


def served(data, *fields):
    """A page that serves data with its length."""
    return [[head("200 OK", *fields, length=len(data)) + data]]


def both(row, name, words, make, **more):
    """The same fault for the manifest and for the package; make(data) gives the page."""
    yield Fault(row, name + ", manifest", words, manifest=make(MANIFEST), **more)
    yield Fault(row, name + ", package", words, package=make(PACKAGE), **more)


def once(row, name, words, script, begun=False, **more):
    """A fault that costs one of several tries, or all of them for a manifest that always has it;
    begun: bytes of the body come before it."""
    always = ("retries",) if begun else words
    each = more.pop("waits", 0)
    # What broke off goes on with a Range; the last try of all is without.
    tries = ASKED + begun
    yield Fault(row, name + ", manifest", always, manifest=[script(MANIFEST)], asks=tries,
                waits=tries * each, extra=SIZE * begun, **more)  # fmt: skip
    page = [script(MANIFEST), script(MANIFEST), *served(MANIFEST)]
    yield Fault(row, name + ", manifest, twice", manifest=page, asks=3, waits=2 * each, **more)
    page = [script(PACKAGE), *served(PACKAGE, TAG)]
    yield Fault(row, name + ", package", package=page, asked=2, waits=each, **more)


def faults():
    """All cases, with fresh pages; row 0: what others are compared with."""
    page = [[head("200 OK", TAG, length=SIZE) + PACKAGE[:3000]], [("reset",)]]
    yield Fault(0, "3000 bytes", ("retries",), package=page, written=BEGUN, asked=RETRIES + 2,
                strategies=STRATEGIES)  # fmt: skip
    for part in (_connecting, _bodies, _lengths, _ranges, _statuses, _heads, _trust, _others):
        yield from part()


# Rows about TLS, and the server that each kind of it needs: a certificate of
# certificates.Pki, or what is said instead of a handshake.
TLS = (
    (39, "good"), (40, "good"), (55, "other_ca"), (55, "self_signed"), (55, "expired"),
    (55, "wrong_host"), (55, "no_chain"), (55, "chain"), (55, "old"), (55, "garbage"),
    (55, "plain"), (55, "reset"), (55, "silence"), (56, "future"), (57, "good"), (58, "good"),
)  # fmt: skip
FIRST = {
    "garbage": [b"garbage!" * 20],
    "plain": [b"HTTP/1.0 400 Bad Request\r\n\r\n"],
    "reset": [("reset",)],
    "silence": [("hang",)],
}


def tls_faults(row, kind):
    """The cases of one of TLS; "{plain}" is a server without it, scheme "http" to begin there."""
    cut = [head(length=len(MANIFEST)) + MANIFEST, ("cut",)]
    part = head("200 OK", TAG, length=SIZE) + PACKAGE[:3000]
    if row == 39:
        for page in ("manifest", "package"):
            away = [[head("302 F", "Location: {plain}" + page)]]
            yield Fault(39, page, ("downgrade",), elsewhere=("host",), **{page: away})
    elif row == 40:
        for page, good in (("manifest", MANIFEST), ("package", PACKAGE)):
            away = [[head("302 F", "Location: {tls}there")]]
            yield Fault(40, page, scheme="http", more={"there": served(good)}, **{page: away})
    elif row == 57:
        yield Fault(57, "manifest, at the end", manifest=[cut])
        yield Fault(57, "manifest, before", ("retries",), asks=ASKED + 1, manifest=[
            [cut[0][:-9], ("cut",)]])  # fmt: skip
        yield Fault(57, "package, at the end", package=[
            [head(length=SIZE) + PACKAGE, ("cut",)]], asked=1)  # fmt: skip
        yield Fault(57, "package, before", package=file(PACKAGE, drop=3000, how=("cut",)), asked=2)
    elif row == 58:
        record = ("raw", b"garbage!" * 9)
        # Once more, without a Range, if the interpreter gave what stood before it.
        yield Fault(58, "manifest", (("retries", "reset"),), asks=ANY, manifest=[
            [cut[0][:99], record]])  # fmt: skip
        yield Fault(
            58, "package", package=[[part, record], *served(PACKAGE, TAG)], asked=2, extra=SIZE
        )
    elif kind == "chain":
        yield Fault(55, kind)
    else:
        word = {"reset": ("reset", "connect"), "silence": "timeout"}.get(kind, "tls")
        limits, waits = ({"handshake_ms": 300}, 900) if kind == "silence" else ({}, 0)
        yield Fault(row, kind, (word,), http=limits, asks=0, waits=waits)


def _connecting():
    none = (0, *["refused"] * (RETRIES + 1))
    yield Fault(1, "manifest", ("connect",), names=("refused",) * ASKED, asks=0)
    yield Fault(1, "manifest, twice", names=("refused", "refused"))
    yield Fault(1, "package", ("connect",), names=none, asked=0)
    yield Fault(1, "package, once", names=(0, "refused"), asked=1)
    limits = {"connect_ms": 200}
    yield Fault(2, "manifest", ("connect",), names=("full",) * ASKED, http=limits, asks=0,
                waits=600)  # fmt: skip
    yield Fault(2, "manifest, twice", names=("full", "full"), http=limits, waits=400)
    none = (0, *["full"] * (RETRIES + 1))
    yield Fault(2, "package", ("connect",), names=none, http=limits, waits=800)
    yield Fault(2, "package, once", names=(0, "full"), http=limits, waits=200)
    yield Fault(3, "manifest", ("dns",), names=(-2,) * ASKED, asks=0)
    yield Fault(3, "manifest, twice", names=(-2, -2))
    yield Fault(3, "package", ("dns",), names=(0, -2, -2, -2), retries=8, asked=0)
    yield Fault(4, "manifest, twice", names=(-3, -3))
    yield Fault(4, "package, twice", names=(0, -3, -3), asked=1)
    yield Fault(4, "package, always", ("dns",), names=(0, *[-3] * 9), asked=0)
    # No failure is left to be forgiven: another try would not help.
    for dead in (["refused"], ["refused"] * 3):
        names = ([*dead, 0],) * 2
        yield Fault(5, f"{len(dead)} dead", names=names, retries=0)
    yield Fault(5, "silent", names=(["full", 0],) * 2, retries=0, http=limits, waits=400)
    dead = (["refused"] * 4 + [0],)
    yield Fault(5, "all of four dead", ("connect",), names=dead, retries=0, asks=0)
    drop = {"drop": 2000, "how": ("wait", 0)}
    yield Fault(6, "same file", package=file(PACKAGE, **drop), names=(0, 0, "other"), asked=2,
                other=1)  # fmt: skip
    changed = [[head("200 OK", TAG, length=SIZE) + PACKAGE[:2000]],
               *served(PACKAGE, 'ETag: "v2"')]  # fmt: skip
    yield Fault(6, "other file", package=changed, names=(0, 0, "other"), asks=2, asked=4, other=1,
                extra=SIZE)  # fmt: skip


def _bodies():
    yield from once(7, "reset", ("reset",), lambda data: [("reset",)])
    yield Fault(7, "always", ("reset",), package=[[("reset",)]], asked=RETRIES + 1)
    for n in (5, 20, 35):
        yield from once(8, f"reset at {n}", ("reset",), lambda data, n=n: [
            head(length=len(data))[:n], ("reset",)])  # fmt: skip
        yield from once(8, f"close at {n}", ("reset",), lambda data, n=n: [
            head(length=len(data))[:n]])  # fmt: skip
    for n in (0, 1, 300, SIZE // 2, SIZE - 1):
        for row, how in ((9, ("reset",)), (10, ("wait", 0))):
            page = file(PACKAGE, drop=n, how=how)
            ranges = ("package", None, f"bytes={n}-" if n else None) if row == 10 else ()
            yield Fault(row, f"at {n}", package=page, asked=2, ranges=ranges)
    page = file(PACKAGE, drop=700, times=7)
    yield Fault(9, "every 700 bytes", package=page, asked=8, retries=8)
    page = [[head(length=SIZE) + PACKAGE[:2000], ("reset",)], [("reset",)]]
    yield Fault(9, "no progress", ("retries",), package=page, written=SOME, asked=RETRIES + 2)
    for n in (0, 9, len(MANIFEST) - 1):
        for row, how in ((9, [("reset",)]), (10, [])):
            script = [head("200 OK", TAG, length=len(MANIFEST)) + MANIFEST[:n], *how]
            words = "retries" if n else ("short", "reset")
            yield Fault(row, f"manifest at {n}", (words,), manifest=[script],
                        asks=ASKED + bool(n), extra=SIZE)  # fmt: skip
            page = [script, script, *served(MANIFEST, TAG)]
            yield Fault(row, f"manifest at {n}, twice", manifest=page, asks=3, extra=2 * n)
    # A reset may overtake bytes that were sent before it, a close does not.
    for n in range(1, len(MANIFEST), 11):
        page = file(MANIFEST, drop=n, how=("reset",))
        yield Fault(9, f"manifest goes on at {n}", manifest=page, asks=2,
                    strategies=STRATEGIES[:1])  # fmt: skip
        page = file(MANIFEST, drop=n, how=("wait", 0))
        ranges = ("manifest", None, f"bytes={n}-" if n else None)
        yield Fault(10, f"manifest goes on at {n}", manifest=page, asks=2, ranges=ranges,
                    strategies=STRATEGIES[:1])  # fmt: skip
    yield from once(11, "half-close", ("short",), lambda data: [
        head(length=len(data)), ("half",)])  # fmt: skip
    yield from once(12, "in head", ("timeout",), lambda data: [
        head()[:9], ("hang",)], http=QUICK, waits=QUICK_MS)  # fmt: skip
    yield from once(12, "in body", ("timeout",), lambda data: [
        head("200 OK", TAG, length=len(data)) + data[:99], ("hang",)],
        begun=True, http=QUICK, waits=QUICK_MS)  # fmt: skip
    yield Fault(12, "always", ("timeout",), package=[[("hang",)]], http=QUICK, asked=RETRIES + 1,
                waits=QUICK_MS * (RETRIES + 1))  # fmt: skip
    slow = ("drip", bytes(999), 0.01)
    yield Fault(13, "manifest", ("slow",), http=SLOW, waits=200, manifest=[
        [head(length=999), slow]])  # fmt: skip
    yield Fault(13, "package", ("slow",), http=SLOW, waits=200, package=[
        [head(length=SIZE), ("drip", PACKAGE[:999], 0.01)]])  # fmt: skip
    yield Fault(14, "package", http={"rate": 8, "rate_ms": 200}, asked=1, package=[
        [head(length=SIZE), ("drip", PACKAGE[:200], 0.005), PACKAGE[200:]]])  # fmt: skip


def _lengths():
    for row, by in ((15, -1), (15, -SIZE + 1), (16, 1), (16, 100000)):
        page = [[head(length=SIZE + by) + PACKAGE]]
        yield Fault(row, f"{by:+} bytes", ("length",), package=page, asked=1)
    # Behind it stands what looks like the next answer, and the server would take a request.
    more = head(length=SIZE) + bytes(SIZE)
    yield from both(17, "more", (), lambda d: [[head(length=len(d)) + d + more, ("keep",)]],
                    extra=1024)  # fmt: skip
    yield from both(18, "close", (), lambda data: [[head() + data]])
    page = [[head() + PACKAGE, ("repeat", bytes(1000))]]
    yield Fault(19, "behind the package", package=page, spare=SPARE)
    page = [[head() + PACKAGE[:3000], ("repeat", PACKAGE)]]
    yield Fault(19, "in the package", (("chain", "chunk"),), package=page, written=SOME,
                spare=SPARE)  # fmt: skip
    for value in ("+", "-1", "5, 6", "5x", "9223372036854775808"):
        yield from both(20, repr(value), ("protocol",), lambda d, v=value: [[head(length=v) + d]])
    for value in ("", "+{}", "{0}, {0}", "00000000{}"):
        yield from both(21, repr(value), (), lambda d, v=value: [
            [head(length=v.format(len(d))) + d]])  # fmt: skip
    yield from both(21, "different", ("protocol",), lambda d: [[
        head("200 OK", f"Content-Length: {len(d) - 1}", length=len(d)) + d]])  # fmt: skip
    yield from both(21, "equal", (), lambda d: [[
        head("200 OK", f"Content-Length: {len(d)}", length=len(d)) + d]])  # fmt: skip
    coding = head("200 OK", "Transfer-Encoding: chunked", TAG)
    end = b"0\r\n\r\n"
    yield from both(22, "both", ("protocol",), lambda d: [[
        head("200 OK", "Transfer-Encoding: chunked", length=len(d)) + chunked(d, 99) + end
    ]])  # fmt: skip
    for size in (1, 7, 1000):
        yield from both(23, f"of {size}", (), lambda d, n=size: [
            [coding + chunked(d, n) + end]], extra=7 * SIZE // size)  # fmt: skip
    trailers = b"0;x=y\r\nTrailer: a\r\nOther: b\r\n\r\nmore"
    yield from both(24, "both", (), lambda d: [
        [coding + chunked(d, 99, b";a=b") + trailers]], extra=SIZE // 5)  # fmt: skip
    endless = [[coding + b"0\r\n", ("repeat", b"X: a\r\n" * 99)]]
    yield Fault(24, "endless trailers, manifest", ("headers",), manifest=endless, extra=HEAD_MAX,
                spare=SPARE)  # fmt: skip
    for bad in (
        b"\r\n",
        b"x\r\n",
        b"-5\r\n",
        b"80000000\r\n",
        b"5" * 40 + b"\r\n",
        b"2\r\n{}XX\r\n",
    ):
        yield from both(25, str(bad), ("protocol",), lambda d, b=bad: [[coding + b + b"hello"]])
    chunks = coding + chunked(MANIFEST, 99)
    yield Fault(26, "manifest", ("retries",), manifest=[[chunks]], asks=ASKED + 1, extra=SIZE)
    yield from both(26, "what ends the last chunk", (), lambda d: [
        [coding + chunked(d, 999) + b"0\r\n"]], extra=SIZE)  # fmt: skip
    whole = head("416 R", f"Content-Range: bytes */{len(MANIFEST)}", length=0)
    ranges = ("manifest", None, f"bytes={len(MANIFEST)}-")
    yield Fault(34, "manifest", manifest=[[chunks], [whole]], asks=2, ranges=ranges)
    other = head("416 R", f"Content-Range: bytes */{len(MANIFEST) + 1}", length=0)
    yield Fault(34, "another size", manifest=[[chunks], [other], *served(MANIFEST, TAG)], asks=3,
                ranges=(*ranges, None), extra=len(MANIFEST))  # fmt: skip
    rest = head("206 P", f"Content-Range: bytes 3000-{SIZE - 1}/{SIZE}", TAG) + PACKAGE[3000:]
    page = [[coding + chunked(PACKAGE[:3000], 500)], [rest]]
    yield Fault(26, "package", package=page, asked=2)
    yield from both(27, "gzip", ("protocol",), lambda d: [[
        head("200 OK", "Transfer-Encoding: gzip") + d]])  # fmt: skip
    for label in ("identity", "", "none", "binary", "utf-8", "aws-chunked"):
        yield from both(28, repr(label), (), lambda d, e=label: [[
            head("200 OK", "Content-Encoding: " + e, length=len(d)) + d]])  # fmt: skip
    yield from both(28, "gzip", ("encoding",), lambda d: [[
        head("200 OK", "Content-Encoding: gzip", length=len(d)) + d]])  # fmt: skip


def _ranges():
    begun = [head("200 OK", TAG, length=SIZE) + PACKAGE[:3000]]

    def then(*answer):
        return [begun, list(answer)]

    for how in (("reset",), ("wait", 0)):
        page = file(PACKAGE, ranges=False, drop=3000, how=how)
        yield Fault(29, how[0], package=page, asked=2, extra=3000)
    rest = PACKAGE[3000:]
    wrong = head("206 P", f"Content-Range: bytes 3000-{SIZE - 1}/{SIZE + 1}") + rest
    yield Fault(30, "another total", ("changed",), package=[begun, [wrong]] * 2,
                written=SOME, asks=2, asked=4, extra=2 * SIZE)  # fmt: skip
    for span, word in (
        (f"bytes 2999-{SIZE - 1}/{SIZE}", "range"),
        (f"bytes 3001-{SIZE - 1}/{SIZE}", "range"),
        (f"bytes 3000-{SIZE}/{SIZE}", "range"),
        (f"bytes 3000-2999/{SIZE}", "range"),
        ("nonsense", "range"),
        ("", "range"),
    ):
        page = then(head("206 P", "Content-Range: " + span) + rest)
        yield Fault(30, span or "empty", (word,), package=page, written=BEGUN, asked=3)
        page = [*page, *served(PACKAGE, TAG)]
        yield Fault(30, (span or "empty") + ", then all", package=page, asked=3, extra=2 * SIZE,
                    ranges=("package", None, "bytes=3000-", None))  # fmt: skip
    right = f"Content-Range: bytes 3000-{SIZE - 1}/{SIZE}"
    page = then(head("206 P", right, length=len(rest) - 1) + rest)
    yield Fault(30, "another length", ("range",), package=page, written=BEGUN, asked=3)
    for fields in ((), ("Content-Type: multipart/byteranges; boundary=x",)):
        page = then(head("206 P", *fields) + rest)
        yield Fault(30, f"no range{fields}", ("range",), package=page, written=BEGUN, asked=3)
    for name, data in (("manifest", MANIFEST), ("package", PACKAGE)):
        span = f"Content-Range: bytes 0-{len(data) - 1}/{len(data)}"
        page = {name: [[head("206 P", span, length=len(data)) + data]]}
        yield Fault(30, f"not asked for, {name}", ("range",), **page)
    ranges = ("package", None, *[f"bytes={n}-" for n in range(700, SIZE, 700)])
    page = file(PACKAGE, drop=700, how=("wait", 0), body_max=700)
    yield Fault(31, "parts of 700", package=page, asked=len(ranges) - 1, ranges=ranges)
    other = then(head("200 OK", 'ETag: "v2"', length=SIZE) + PACKAGE)
    yield Fault(32, "200, once", package=other, asks=2, asked=3, extra=SIZE)
    again = [[head("200 OK", 'ETag: "v2"', length=SIZE) + PACKAGE[:3000]], [
        head("200 OK", 'ETag: "v3"', length=SIZE) + PACKAGE]]  # fmt: skip
    yield Fault(32, "200", ("changed",), package=[*other, *again], written=SOME, asks=2,
                asked=4, extra=SIZE)  # fmt: skip
    yield Fault(32, "next release", manifest=[[head(length=len(MANIFEST)) + MANIFEST],
                *served(signed(NEXT, sequence=6))], package=[begun, *served(NEXT, 'ETag: "v2"')],
                written=SOME, asks=2, asked=3, extra=SIZE,
                strategies=STRATEGIES[:2])  # fmt: skip
    span = f"Content-Range: bytes 3000-{SIZE - 1}/{SIZE}"
    other = then(head("206 P", span, 'ETag: "v2"') + rest)
    yield Fault(32, "206, once", package=[*other, *served(PACKAGE, TAG)], asks=2, asked=3,
                extra=SIZE)  # fmt: skip
    yield Fault(32, "206", ("changed",), package=other * 2, written=SOME, asks=2, asked=4,
                extra=SIZE)  # fmt: skip
    weak = file(PACKAGE, etag='W/"v1"', drop=3000, how=("wait", 0))
    ranges = ("package", None, "bytes=3000-")
    yield Fault(33, "same file", package=weak, asked=2, without=("if-range",), ranges=ranges)
    other = Package(OTHER, None).data()
    page = [[head("200 OK", 'ETag: W/"v1"', length=len(LONG)) + LONG[:3000]],
            [head("206 P", f"Content-Range: bytes 3000-{len(other) - 1}/{len(other)}",
                  'ETag: W/"v1"') + other[3000:]]]  # fmt: skip
    yield Fault(33, "other file", (("chain", "chunk"),), manifest=served(signed(LONG)),
                package=page, asked=2, written=SOME, without=("if-range",),
                extra=len(LONG))  # fmt: skip
    wrong = head("416 R", f"Content-Range: bytes */{SIZE}")
    ranges = ("package", None, "bytes=3000-", None)
    yield Fault(35, "once", package=[begun, [wrong], *served(PACKAGE, TAG)], asked=3,
                extra=3000, ranges=ranges)  # fmt: skip
    yield Fault(35, "always", ("status", 416), package=then(wrong), written=BEGUN, asked=3,
                ranges=ranges)  # fmt: skip


def _statuses():
    for code in (204, 205, 304):
        yield from both(36, f"{code}", ("status", code), lambda d, c=code: [[head(f"{c} X") + d]])
    for code in (301, 302, 303, 307, 308):
        more = {"there/file": served(MANIFEST)}
        page = [[head(f"{code} X", "Location: there/file", length=0)]]
        yield Fault(37, f"{code}, manifest", manifest=page, more=more)
        for kind, place in (("relative", "there"), ("absolute", "{here}there")):
            more = {"there": file(PACKAGE, drop=3000, how=("wait", 0))}
            page = [[head(f"{code} X", "Location: " + place, length=0)]]
            ranges = ("there", None, "bytes=3000-")
            yield Fault(37, f"{code}, {kind}, package", package=page, more=more, asked=2,
                        ranges=ranges)  # fmt: skip
    loop = [[head("302 F", "Location: manifest")]]
    yield Fault(38, "loop, manifest", ("redirect",), manifest=loop, asks=6)
    loop = [[head("302 F", "Location: package")]]
    yield Fault(38, "loop, package", ("redirect",), package=loop, asked=6)
    chain = {str(i): [[head("302 F", f"Location: {i + 1}")]] for i in range(5)}
    yield Fault(38, "chain of 6", ("redirect",), package=[[head("302 F", "Location: 0")]],
                more={**chain, "5": served(PACKAGE)})  # fmt: skip
    del chain["4"]
    yield Fault(38, "chain of 5", package=[[head("302 F", "Location: 0")]],
                more={**chain, "4": served(PACKAGE)})  # fmt: skip
    secret = {"headers": {"Authorization": "Bearer x"}}
    yield Fault(41, "other port", http=secret, elsewhere=("authorization",), other=1, more={
        "there": file(PACKAGE)}, package=[[head("302 F", "Location: {other}there")]])  # fmt: skip
    for place in ("", "http://", "http://a b/", "file:///etc/passwd", "ftp://localhost/x"):
        page = [[head("302 F", "Location: " + place)]]
        words = (("redirect", "url"),)
        yield from both(42, repr(place), words, lambda d, p=page: p)
    for place in ("gone away", "gone\u00fc"):
        more = {place.replace(" ", "%20").replace("\u00fc", "%C3%BC"): served(MANIFEST)}
        page = [[head("302 F").replace(b"\r\n\r\n", b"\r\nLocation: %s\r\n\r\n" % place.encode())]]
        yield Fault(37, repr(place), manifest=page, more=more)
    policy = "Content-Security-Policy: " + "default-src 'none'; " * 180
    for n in (700, 1900):
        page = [[head("302 F", policy, "Location: there?sig=" + "s" * n, length=0)]]
        there = "there?sig=" + "s" * n
        yield Fault(37, f"signed, {n}, manifest", manifest=page, more={there: served(MANIFEST)},
                    extra=6000)  # fmt: skip
        yield Fault(37, f"signed, {n}, package", package=page, asked=2, extra=12000, more={
            there: file(PACKAGE, drop=3000, how=("wait", 0))},
            ranges=(there, None, "bytes=3000-"))  # fmt: skip
    yield from both(42, "none", ("redirect",), lambda d: [[head("302 F")]])
    for place in ("there\rX: y", "there\0"):
        page = [[head("302 F", "Location: " + place)]]
        yield from both(42, repr(place), ("protocol",), lambda d, p=page: p)
    for code, n in ((401, 1), (403, 2), (404, 2), (410, 1)):
        page = [[head(f"{code} X") + b"gone"]]
        yield Fault(43, f"{code}, manifest", ("status", code), manifest=page, asks=n)
        yield Fault(43, f"{code}, package", ("status", code), package=page, asked=n)
    for code in (403, 404):
        yield from both(43, f"{code}, once", (), lambda d, c=code: [
            [head(f"{c} X", length=0)], *served(d)], asks=ANY, asked=ANY)  # fmt: skip
    now, then = "Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:38 GMT"
    for code, waits, *fields in (
        (408, 0, "Retry-After: 0"), (408, 0, "Retry-After: soon"), (408, 1000, "Retry-After: 1"),
        (429, 1000, "Retry-After: 1"), (503, 0, "Retry-After: 0"),
        (503, 1000, f"Date: {now}", f"Retry-After: {then}"),
    ):  # fmt: skip
        page = [[head(f"{code} X", *fields, length=0)], *served(PACKAGE)]
        yield Fault(44, f"{code} {fields[-1]}", package=page, asked=2, waits=waits)
    page = [[head("503 X", "Retry-After: 1", length=0)], *served(MANIFEST)]
    yield Fault(44, "manifest", manifest=page, asks=2, waits=1000)
    # Longer than it is waited for: an hour, or what is cut to it.
    for value in (61, 3600, 99999999999):
        yield from both(44, f"{value} s", ("later",), lambda d, v=value: [
            [head("429 X", f"Retry-After: {v}", length=0)]])  # fmt: skip
    for code in (500, 502, 503, 504, 520, 425):
        page = [[head(f"{code} X", length=0)], *served(PACKAGE)]
        yield Fault(45, f"{code}, once", package=page, asked=2)
        yield Fault(45, f"{code}, always", ("status", code), asked=RETRIES + 1, package=page[:1])
        yield Fault(45, f"{code}, manifest", ("status", code), manifest=page[:1], asks=ASKED)
    interim = head("100 Continue"), head("103 Early Hints", "Link: x")
    for i in interim:
        for n in (1, 8):
            yield from both(46, f"{i[9:12].decode()}, {n}", (), lambda d, i=i, n=n: [
                [i * n + head(length=len(d)) + d]], extra=HEAD_MAX)  # fmt: skip
        for n in (9, 20):
            yield from both(46, f"{i[9:12].decode()}, {n}", ("protocol",), lambda d, i=i, n=n: [
                [i * n + head() + d]], extra=HEAD_MAX)  # fmt: skip
    yield from both(47, "101", ("status", 101), lambda d: [[
        head("101 Switching", "Upgrade: x") + d]])  # fmt: skip


def _heads():
    for line, good in (
        ("HTTP/1.1 200", True), ("HTTP/1.0 200 OK", True), ("http/1.1 200 OK", True),
        ("\r\nHTTP/1.2 200 OK", True),
        ("HTTP/2.0 200 OK", False), ("HTTP/1.1 2000 OK", False), ("garbage", False),
    ):  # fmt: skip
        yield from both(48, line, () if good else ("protocol",), lambda d, s=line: [
            [s.encode() + b"\r\nContent-Length: %d\r\n\r\n" % len(d) + d]])  # fmt: skip
    yield from once(48, "no line end", ("reset",), lambda d: [b"HTTP/1.1 200 OK"])
    yield from both(49, "bare LF", (), lambda d: [[head(length=len(d)).replace(b"\r", b"") + d]])
    for line in ("X : a", " folded", "X: a\r\n folded", "no colon", "X: " + "a" * 1500):
        yield from both(49, repr(line)[:20], (), lambda d, s=line: [
            [head("200 OK", s, length=len(d)) + d]], extra=2000)  # fmt: skip
    for line in ("Content-Length : 5", "Transfer-Encoding: chunked\r\n x", "X: a\0b", "X: a\rb"):
        yield from both(49, repr(line), ("protocol",), lambda d, s=line: [
            [head("200 OK", s, length=len(d)) + d]])  # fmt: skip
    start = head()[:-2]
    for name, script in (
        ("line", [start + b"Content-Range: " + b"a" * 1100 + b"\r\n\r\n"]),
        ("block", [start + (b"X: " + b"a" * 9000 + b"\r\n") * 4 + b"\r\n"]),
        ("number", [start + b"X: a\r\n" * 257 + b"\r\n"]),
        ("endless line", [start + b"X: ", ("repeat", b"a" * 999)]),
        ("endless", [start, ("repeat", b"X: aaaa\r\n" * 99)]),
    ):
        yield from both(50, name, ("headers",), lambda d, s=script: [s], extra=HEAD_MAX,
                        spare=SPARE)  # fmt: skip
    yield Fault(51, "URL", ("url",), url="manifest\r\nX: y", asks=0)
    for bad in ({"X": "a\r\nY: b"}, {"X\r\nY": "b"}, {"X": "a\nb"}, {"X": "\0"}):
        yield Fault(51, f"field {bad}", ("headers",), http={"headers": bad}, asks=0)
    for tag in ('"a\\b\x07"', '"a b"', '"\xff"', '"' + "a" * 200 + '"'):
        page = file(PACKAGE, etag=tag, drop=3000, how=("wait", 0))
        ranges = ("package", None, "bytes=3000-")
        yield Fault(51, f"entity tag {tag[:9]!r}", package=page, asked=2, ranges=ranges,
                    without=("if-range",))  # fmt: skip
    yield from _kept()


def _kept():
    # Of the right size, so that only its place gives it away.
    stale = head("200 OK", length=SIZE) + bytes(SIZE)
    keep = "Connection: keep-alive", "Keep-Alive: timeout=5, max=1"
    yield from both(52, "closed behind the answer", (), lambda d: [
        [head("200 OK", *keep[:1], length=len(d)) + d]])  # fmt: skip
    whole = head(length=len(MANIFEST)) + MANIFEST
    for name, script in (
        ("closed when asked again", []),
        ("reset when asked again", [("reset",)]),
        ("closed within the head", [head(length=SIZE)[:20]]),
        ("bytes out of step", [b"stale!\r\n\r\n"]),
    ):
        # No failure is left to be forgiven, so what comes of it must not count as one.
        yield Fault(53 if script and name[0] == "b" else 52, name, manifest=[[whole, ("keep",)]],
                    package=[script, *served(PACKAGE, TAG)], asked=2, retries=0,
                    reused=True)  # fmt: skip
    yield from both(53, "stale bytes", (), lambda d: [
        [head("200 OK", *keep, length=len(d)) + d + stale, ("keep",)]], extra=1024)  # fmt: skip
    page = [[whole[:-1], ("wait", 0.01), whole[-1:] + stale, ("keep",)]]
    yield Fault(53, "stale bytes in one piece with the end", manifest=page, extra=1024)
    for fields in (("Connection: close",), ("Connection: keep-alive, Close",)):
        yield from both(54, fields[-1], (), lambda d, f=fields: [
            [head("200 OK", *f, length=len(d)) + d, ("keep",)]])  # fmt: skip
    yield Fault(54, "HTTP/1.0", manifest=[[whole.replace(b"1.1", b"1.0", 1), ("keep",)]])
    page = [[head("200 OK", *keep, length=len(MANIFEST)) + MANIFEST, ("hang",)]]
    yield Fault(54, keep[-1], manifest=page, http=QUICK, waits=QUICK_MS)
    yield from both(82, "a second answer", (), lambda d: [
        [head(length=len(d)) + d + stale, ("keep",)]], extra=1024)  # fmt: skip
    yield Fault(82, "answer without a body", ("length",), package=[
        [head("200 OK", length=0) + head(length=SIZE) + PACKAGE]])  # fmt: skip
    yield Fault(82, "the answer before once more", manifest=[[whole, ("keep",)]],
                package=[[whole], *served(PACKAGE, TAG)], asked=2, retries=0, reused=True,
                extra=len(MANIFEST))  # fmt: skip


def _trust():
    page = b"<html><title>Sign in</title>" + b" " * 2000 + b"</html>"
    login = {"login": served(page)}
    away = [[head("302 F", "Location: login", length=0)]]
    yield Fault(59, "200, manifest", ("manifest",), manifest=served(page), extra=len(page))
    yield Fault(59, "302, manifest", ("manifest",), manifest=away, more=login,
                extra=len(page))  # fmt: skip
    yield Fault(59, "200, package", ("length",), package=served(page), asked=1)
    yield Fault(59, "302, package", ("length",), package=away, more=login)
    page += b" " * (SIZE - len(page))
    yield Fault(59, "of the right size", ("header",), package=served(page), asked=1)
    yield Fault(59, "of no size", ("header",), package=[[head() + page]], asked=1)
    yield Fault(60, "manifest", ("manifest",), manifest=served(b""))
    yield Fault(60, "package", ("length",), package=served(b""), asked=1)
    page = [[head()]]
    yield Fault(60, "package of no size", ("short",), package=page, asked=RETRIES + 1)
    for n in range(0, len(MANIFEST), 9):
        words = (("manifest", "key", "signature"),)
        yield Fault(61, f"at {n}", words, manifest=served(MANIFEST[:n]))
    for name, words, made in _manifests():
        yield Fault(62, name, words, manifest=served(made), extra=len(made))
    endless = [[head() + MANIFEST, ("repeat", bytes(1000))]]
    yield Fault(63, "endless", ("size",), manifest=endless, extra=8193, spare=SPARE)
    yield Fault(63, "announced", ("size",), manifest=[[head(length=8193), ("hang",)]])
    body, mark, _ = MANIFEST.partition(b"\nsig ")
    for name, words, made in (
        ("none", ("manifest",), body + b"\n"),
        ("wrong key", ("key",), manifest(described(), (OTHER_KEY,))),
        ("other bytes", ("signature",), MANIFEST.replace(b'"0.2"', b'"0.3"')),
        ("truncated", ("signature",), body + mark + MANIFEST[len(body) + 5 :][:17] + b"AAAA\n"),
    ):
        yield Fault(64, name, words, manifest=served(made))
    later = served(signed(sequence=9))
    gone = [head("410 X", length=0)]
    broken = [[head(length=SIZE) + PACKAGE[:3000]], gone, gone, *served(PACKAGE)]
    yield Fault(65, "older manifest", ("sequence",), first=later, package=broken, sequence=9,
                asks=1, asked=3)  # fmt: skip
    yield Fault(66, "same version", result="none", manifest=served(signed(version="0.1")))
    old = served(signed(expires=1000000000))
    yield Fault(67, "expired", ("expired",), manifest=old, now=1800000000)
    yield Fault(67, "without a clock", manifest=old)
    for version in ("2147483647.0", "9999.x", "1.2.3.4.5", "99999999999999999999", "-1"):
        yield Fault(68, version, ("field",), manifest=served(signed(version=version)))
    other = Package(scenes.THREE, None).data()
    yield Fault(69, "other image", ("length",), package=served(other))
    # Genuine, too, and of the same size as the package that the manifest names.
    other = Package(OTHER, None).data()
    yield Fault(69, "other image of the same size", ("digest",), manifest=served(signed(LONG)),
                package=served(other))  # fmt: skip
    base = Package(scenes.TWO, scenes.THREE).data()
    stranger = served(signed(base, base=scenes.THREE))
    yield Fault(69, "no package for this base", ("base",), manifest=stranger)
    lying = served(signed(base, base=scenes.ONE))
    yield Fault(69, "delta for other base", ("base",), manifest=lying, package=served(base))
    yield Fault(70, "product", ("product",), manifest=served(signed(product="toaster")))
    wrong = Package(scenes.TWO, None, target="fonts").data()
    yield Fault(70, "target", ("target",), manifest=served(signed(wrong)), package=served(wrong))
    low = served(signed(floor=2))
    yield Fault(71, "below the floor", manifest=low, floor=3, result="none")
    for n, word in ((2, "header"), (40, "digest")):
        bad = PACKAGE[:n] + bytes([PACKAGE[n] ^ 1]) + PACKAGE[n + 1 :]
        yield Fault(72, f"bit at {n}", ((word, "signature"),), package=served(bad))
    for n in (SIZE // 8, SIZE // 2, SIZE - 1):
        bad = PACKAGE[:n] + bytes([PACKAGE[n] ^ 1]) + PACKAGE[n + 1 :]
        yield Fault(72, f"bit at {n}", (("chain", "chunk", "digest"),), package=served(bad),
                    written=SOME, asked=1)  # fmt: skip
    half = SIZE // 2
    bad = PACKAGE[:half] + PACKAGE[half + 64 : half + 128] + PACKAGE[half : half + 64]
    bad += PACKAGE[half + 128 :]
    yield Fault(72, "swapped", ("chain",), package=served(bad), written=SOME, asked=1)
    yield Fault(72, "zeros behind", ("length",), package=served(PACKAGE + bytes(64)), asked=1)
    yield Fault(72, "zeros at the end", ("chain",), written=SOME, package=served(
        PACKAGE[:-64] + bytes(64)))  # fmt: skip
    # The others stage it unread; the boot stage decodes and refuses it.
    for name, words, package in _patches():
        made = signed(package, base=scenes.ONE, version="0.3", new=scenes.THREE)
        yield Fault(73, name, words, manifest=served(made), package=served(package),
                    written=SOME, strategies=("ab",), extra=len(package))  # fmt: skip
        yield Fault(73, name, result="refused", manifest=served(made), package=served(package),
                    written=staged(package), strategies=("pingpong",),
                    extra=len(package))  # fmt: skip


def _manifests():
    good = described()
    yield "BOM", ("manifest",), b"\xef\xbb\xbf" + MANIFEST
    yield "not UTF-8", ("manifest",), manifest(b'{"format":1,"notes":"\xc3\x28"}')
    yield "nested without end", ("manifest",), manifest(b'{"a":' + b"[" * 5000)
    deep: list = []
    for _ in range(99):
        deep = [deep]
    yield "nested", (), manifest({**good, "extra": deep})
    yield "a list for a name", ("manifest",), manifest(b'{[]:1,"format":1}')
    for name, value in (
        ("sequence", -1), ("sequence", 1 << 64), ("sequence", "5"), ("product", 5),
        ("sequence", None), ("releases", {}), ("format", True), ("sequence", 1.5),
    ):  # fmt: skip
        word = "format" if name == "format" else "field"
        yield f"{name} {value}", (("field", word),), manifest({**good, name: value})
    for text in (b"1e400", b"NaN"):
        made = manifest(b'{"format":1,"product":"rig","channel":"x","sequence":' + text + b"}")
        yield text.decode(), (("manifest", "field"),), made
    for name in ("product", "channel", "sequence", "releases"):
        missing = dict(good)
        del missing[name]
        yield f"no {name}", ("field",), manifest(missing)
    for size in (-1, 0, 1 << 64, "5", None):
        package = {**entry("package", PACKAGE), "size": size}
        made = content([release("0.2", scenes.TWO, [package])], 5)
        yield f"size {size}", ("field",), manifest(made)
    yield "unknown", (), manifest({**good, "extra": [{"a": 1}]})


def _patches():
    def made(change):
        package = Package(scenes.THREE, scenes.ONE, "0.3")
        change(package.chunks[1])
        return package.data()

    def wild(chunk):
        chunk.stored = b"\0\x05\0\xfa\xff" + b"\xff" * 5 + b"\0\0\0\xff\xff"
        chunk.inflated = 5

    def flat(chunk):
        chunk.stored = b"\xff" * len(chunk.stored)

    words = (("patch", "inflate", "chunk", "size"),)
    yield "lengths", words, made(wild)
    yield "no stream", words, made(flat)


def _others():
    for stop in range(STEPS):
        yield Fault(78, f"given up after {stop} steps", result="", stop=stop, written=SOME,
                    asks=ANY, asked=ANY, strategies=STRATEGIES[stop % 3 :][:1])  # fmt: skip
    made = signed(LARGE, new=noise(64 * 1024))
    yield Fault(78, "no room", ("fit",), manifest=served(made), package=served(LARGE))
    for date in ("Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 2099 23:59:59 GMT", "now"):
        yield from both(74, date, (), lambda d, t=date: served(d, "Date: " + t))
    for strategy, written in (("ab", ALL), ("pingpong", staged(LONG))):
        yield Fault(75, "package", manifest=served(signed(LONG)), erase_ms=30, window=2048,
                    package=[[head(length=len(LONG)), ("timed", LONG)]], spare=SPARE,
                    written=written, extra=len(LONG), strategies=(strategy,))  # fmt: skip
    drop = file(PACKAGE, drop=3000, how=("hang",))
    yield Fault(76, "silence, no names, other way", package=drop, http=QUICK,
                names=(0, 0, -3, "refused", "other"), asked=2, other=1,
                waits=QUICK_MS)  # fmt: skip
    yield from both(77, "407", ("status", 407), lambda d: [[head("407 X", length=0)]])
    less = PACKAGE.replace(b"\0\0", b"\0")
    page = served(less, "Via: 1.1 proxy")
    yield Fault(77, "changed length", ("length",), package=page, asked=1)
    yield Fault(81, "user info", ("url",), url="{user}manifest", asks=0)
    yield Fault(81, "literal address", url="{ipv4}manifest")
    yield Fault(81, "IPv6", url="{ipv6}manifest")
    yield from _mirrors()


def _mirrors():
    """Of two mirrors the first is wrong; or both are."""
    good = "{other}manifest"
    two = ["manifest", good]
    bad = PACKAGE[:4000] + bytes([PACKAGE[4000] ^ 1]) + PACKAGE[4001:]
    away = {"names": ("refused",), "asks": 1, "other": 2}
    yield Fault(80, "away", url=two, **away)
    yield Fault(80, "all away", ("connect",), url=two, names=("refused",) * 2, asks=0)
    for name, page in (
        ("404", [[head("404 X", length=0)]]),
        ("login page", served(b"<html>")),
        ("other key", served(manifest(described(), (OTHER_KEY,)))),
        ("cut", served(MANIFEST[:-9])),
    ):
        # One server has all files, so each file of a mirror has a name of its own.
        yield Fault(80, name, url=["first", good], more={"first": page}, asks=1, other=2)
        word = {"404": "status", "other key": "key"}.get(name, ("manifest", "signature"))
        yield Fault(80, name + ", all", (word,), url=["first"] * 2, more={"first": page}, asks=0,
                    extra=2 * len(MANIFEST))  # fmt: skip
    lies = manifest({**described(), "releases": [
        release("0.2", scenes.TWO, [entry("another", PACKAGE)])]})  # fmt: skip
    for name, page, word in (
        ("wrong data", served(bad), ("chain", "chunk")),
        ("no package", [[head("404 X", length=0)]], "status"),
        ("wrong size", served(PACKAGE + b"x"), "length"),
        ("half a package", [[head(length=SIZE) + PACKAGE[:3000]]], "retries"),
    ):
        more = {"first": served(lies), "another": page}
        yield Fault(80, name, url=["first", good], more=more, written=MORE, other=2,
                    extra=2 * SIZE)  # fmt: skip
        yield Fault(80, name + ", all", (word,), url=["first"] * 2, more=more, asks=0,
                    written=MORE, extra=2 * (RETRIES + 1) * SIZE)  # fmt: skip
