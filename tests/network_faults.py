"""Whole updates over a network that misbehaves: the cases, by row of docs/network-faults.md.

Each case gets a folder of its own on the server: "manifest" and "package", which are served
well unless the case says otherwise, and further pages. tests/net/update.py plays them.
"""

from dataclasses import dataclass, field

import scenes
from fault_pages import chunked, file, head
from images import vector
from packer import OTHER_KEY, Package, content, entry, manifest, release

PACKAGE = vector("full-24k-4096.ota")
SIZE = len(PACKAGE)
NEXT = vector("full-24k-2048.ota")
TAG = 'ETag: "v1"'
QUICK = {"idle_ms": 500}
SLOW = {"rate": 2000, "rate_ms": 200}
RETRIES = 3  # of tests/net/update.py
ASKED = 3  # times for a manifest that does not come

ALL, SOME, NONE = "all", "some", "none"
STRATEGIES = ("ab", "pingpong", "inplace")


_RESUMED = (9, 10, 29, 31, 32)  # rows played with every strategy


@dataclass
class Fault:
    """One case.

    words: of the error, or () for an update that comes through; each a word or several of
    which one must come. written: ALL that a clean update writes, SOME or NONE of it. asked:
    requests for the package, if it matters. manifest, package: pages instead of the good ones;
    more: further pages by name. Lookups in names: "refused", "full", "other" for a port, or
    numbers as names.py takes them. result: of an update without an error, "" for any. stop,
    spare, floor: as tests/net/update.py takes them.
    """

    row: int
    name: str
    words: tuple = ()
    manifest: object = None
    package: object = None
    written: str | None = None
    asked: int | None = None
    more: dict = field(default_factory=dict)
    names: tuple = ()
    http: dict = field(default_factory=dict)
    retries: int = RETRIES
    url: str = "manifest"
    result: str = "ready"
    first: object = None
    now: int = 0
    erase_ms: int = 0
    stop: int | None = None
    spare: int | None = None
    floor: int | None = None
    scheme: str = ""
    strategies: tuple = ()  # by default two: the third stages a package as the second does
    elsewhere: tuple = ()  # what the other server's requests must not carry

    def __post_init__(self):
        if not self.strategies:
            self.strategies = STRATEGIES if self.row in _RESUMED else STRATEGIES[:2]
        if self.written is None:
            self.written = NONE if self.words or self.result == "none" else ALL


def described(data=PACKAGE, sequence=5, version="0.2", new=scenes.TWO, floor=0, **more):
    """A manifest that leads to a package beside it."""
    packages = [entry("package", data, more.pop("base", None))]
    return content([release(version, new, packages, floor)], sequence, **more)


def signed(data=PACKAGE, **more):
    """The bytes of described()."""
    return manifest(described(data, **more))


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
    yield Fault(row, name + ", manifest", always, manifest=[script(MANIFEST)], **more)
    page = [script(MANIFEST), script(MANIFEST), *served(MANIFEST)]
    yield Fault(row, name + ", manifest, twice", manifest=page, **more)
    page = [script(PACKAGE), *served(PACKAGE, TAG)]
    more.setdefault("asked", 2)
    yield Fault(row, name + ", package", package=page, **more)


def faults():
    """All cases, with fresh pages."""
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
        yield Fault(57, "manifest, before", ("retries",), manifest=[[cut[0][:-9], ("cut",)]])
        yield Fault(57, "package, at the end", package=[
            [head(length=SIZE) + PACKAGE, ("cut",)]], asked=1)  # fmt: skip
        yield Fault(57, "package, before", package=file(PACKAGE, drop=3000, how=("cut",)), asked=2)
    elif row == 58:
        record = ("raw", b"garbage!" * 9)
        yield Fault(58, "manifest", (("retries", "reset"),), manifest=[[cut[0][:99], record]])
        yield Fault(58, "package", package=[[part, record], *served(PACKAGE, TAG)], asked=2)
    elif kind == "chain":
        yield Fault(55, kind)
    else:
        word = {"reset": ("reset", "connect"), "silence": "timeout"}.get(kind, "tls")
        http = {"handshake_ms": 300} if kind == "silence" else {}
        yield Fault(row, kind, (word,), http=http, asked=0)


def _connecting():
    none = (0, *["refused"] * (RETRIES + 1))
    yield Fault(1, "manifest", ("connect",), names=("refused",) * ASKED)
    yield Fault(1, "manifest, twice", names=("refused", "refused"))
    yield Fault(1, "package", ("connect",), names=none, asked=0)
    yield Fault(1, "package, once", names=(0, "refused"), asked=1)
    limits = {"connect_ms": 200}
    yield Fault(2, "manifest", ("connect",), names=("full",) * ASKED, http=limits)
    yield Fault(2, "manifest, twice", names=("full", "full"), http=limits)
    none = (0, *["full"] * (RETRIES + 1))
    yield Fault(2, "package", ("connect",), names=none, http=limits, asked=0)
    yield Fault(2, "package, once", names=(0, "full"), http=limits, asked=1)
    yield Fault(3, "manifest", ("dns",), names=(-2,) * ASKED)
    yield Fault(3, "manifest, twice", names=(-2, -2))
    yield Fault(3, "package", ("dns",), names=(0, -2, -2, -2), retries=8, asked=0)
    yield Fault(4, "manifest, twice", names=(-3, -3))
    yield Fault(4, "package, twice", names=(0, -3, -3), asked=1)
    yield Fault(4, "package, always", ("dns",), names=(0, *[-3] * 9), asked=0)
    for names in ((["refused", 0], ["refused", 0]), (["refused", "refused", 0],)):
        yield Fault(5, f"{len(names[0])} addresses", names=names, asked=1)
    drop = {"drop": 2000, "how": ("wait", 0)}
    yield Fault(6, "same file", package=file(PACKAGE, **drop), names=(0, 0, "other"), asked=2)
    changed = [[head("200 OK", TAG, length=SIZE) + PACKAGE[:2000]],
               *served(PACKAGE, 'ETag: "v2"')]  # fmt: skip
    yield Fault(6, "other file", package=changed, names=(0, 0, "other"), asked=4)


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
            yield Fault(row, f"at {n}", package=page, asked=2)
    page = file(PACKAGE, drop=700, times=7)
    yield Fault(9, "every 700 bytes", package=page, asked=8, retries=8)
    page = [[head(length=SIZE) + PACKAGE[:2000], ("reset",)], [("reset",)]]
    yield Fault(9, "no progress", ("retries",), package=page, written=SOME, asked=RETRIES + 1)
    for n in (0, 9, len(MANIFEST) - 1):
        for row, how in ((9, [("reset",)]), (10, [])):
            script = [head("200 OK", TAG, length=len(MANIFEST)) + MANIFEST[:n], *how]
            words = "retries" if n else ("short", "reset")
            yield Fault(row, f"manifest at {n}", (words,), manifest=[script])
            page = [script, script, *served(MANIFEST, TAG)]
            yield Fault(row, f"manifest at {n}, twice", manifest=page)
        page = file(MANIFEST, drop=n, how=("reset",), times=2)
        yield Fault(9, f"manifest goes on at {n}", manifest=page)
    yield from once(11, "half-close", ("short",), lambda data: [
        head(length=len(data)), ("half",)])  # fmt: skip
    yield from once(12, "in head", ("timeout",), lambda data: [
        head()[:9], ("hang",)], http=QUICK)  # fmt: skip
    yield from once(12, "in body", ("timeout",), lambda data: [
        head("200 OK", TAG, length=len(data)) + data[:99], ("hang",)],
        begun=True, http=QUICK)  # fmt: skip
    yield Fault(12, "always", ("timeout",), package=[[("hang",)]], http=QUICK, asked=RETRIES + 1)
    slow = ("drip", bytes(999), 0.01)
    yield Fault(13, "manifest", ("slow",), http=SLOW, manifest=[
        [head(length=999), slow]])  # fmt: skip
    yield Fault(13, "package", ("slow",), http=SLOW, asked=1, package=[
        [head(length=SIZE), ("drip", PACKAGE[:999], 0.01)]])  # fmt: skip
    yield Fault(14, "package", http={"rate": 8, "rate_ms": 200}, asked=1, package=[
        [head(length=SIZE), ("drip", PACKAGE[:200], 0.005), PACKAGE[200:]]])  # fmt: skip


def _lengths():
    for row, by in ((15, -1), (15, -SIZE + 1), (16, 1), (16, 100000)):
        page = [[head(length=SIZE + by) + PACKAGE]]
        yield Fault(row, f"{by:+} bytes", ("length",), package=page, asked=1)
    yield from both(17, "more", (), lambda d: [[head(length=len(d)) + d + b"HTTP/1.1 200" * 99]])
    yield from both(18, "close", (), lambda data: [[head() + data]])
    page = [[head() + PACKAGE, ("repeat", bytes(1000))]]
    yield Fault(19, "behind the package", package=page, asked=1)
    page = [[head() + PACKAGE[:3000], ("repeat", PACKAGE)]]
    yield Fault(19, "in the package", (("chain", "chunk"),), package=page, written=SOME)
    for value in ("", "-1", "+5", "5x", "9223372036854775808"):
        yield from both(20, repr(value), ("protocol",), lambda d, v=value: [[head(length=v) + d]])
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
        yield from both(23, f"of {size}", (), lambda d, n=size: [[coding + chunked(d, n) + end]])
    trailers = b"0;x=y\r\nTrailer: a\r\nOther: b\r\n\r\nmore"
    yield from both(24, "both", (), lambda d: [[coding + chunked(d, 99, b";a=b") + trailers]])
    endless = [[coding + b"0\r\n", ("repeat", b"X: a\r\n" * 99)]]
    yield Fault(24, "endless trailers, manifest", ("headers",), manifest=endless)
    for bad in (b"\r\n", b"x\r\n", b"-5\r\n", b"80000000\r\n", b"5" * 40, b"2\r\n{}XX\r\n"):
        yield from both(25, str(bad), ("protocol",), lambda d, b=bad: [[coding + b + b"hello"]])
    yield Fault(26, "manifest", ("retries",), manifest=[[coding + chunked(MANIFEST, 99)]])
    rest = head("206 P", f"Content-Range: bytes 3000-{SIZE - 1}/{SIZE}", TAG) + PACKAGE[3000:]
    page = [[coding + chunked(PACKAGE[:3000], 500)], [rest]]
    yield Fault(26, "package", package=page, asked=2)
    yield from both(27, "gzip", ("protocol",), lambda d: [[
        head("200 OK", "Transfer-Encoding: gzip") + d]])  # fmt: skip
    yield from both(28, "gzip", ("encoding",), lambda d: [[
        head("200 OK", "Content-Encoding: gzip", length=len(d)) + d]])  # fmt: skip


def _ranges():
    begun = [head("200 OK", TAG, length=SIZE) + PACKAGE[:3000]]

    def then(*answer):
        return [begun, list(answer)]

    for how in (("reset",), ("wait", 0)):
        page = file(PACKAGE, ranges=False, drop=3000, how=how)
        yield Fault(29, how[0], package=page, asked=2)
    rest = PACKAGE[3000:]
    wrong = head("206 P", f"Content-Range: bytes 3000-{SIZE - 1}/{SIZE + 1}") + rest
    yield Fault(30, "another total", ("changed",), package=[begun, [wrong]] * 2,
                written=SOME, asked=4)  # fmt: skip
    for span, word in (
        (f"bytes 2999-{SIZE - 1}/{SIZE}", "range"),
        (f"bytes 3001-{SIZE - 1}/{SIZE}", "range"),
        (f"bytes 3000-{SIZE}/{SIZE}", "range"),
        (f"bytes 3000-2999/{SIZE}", "range"),
        ("nonsense", "range"),
        ("", "range"),
    ):
        page = then(head("206 P", "Content-Range: " + span) + rest)
        yield Fault(30, span or "empty", (word,), package=page, written=SOME, asked=2)
    for fields in ((), ("Content-Type: multipart/byteranges; boundary=x",)):
        page = then(head("206 P", *fields) + rest)
        yield Fault(30, f"no range{fields}", ("range",), package=page, written=SOME, asked=2)
    yield Fault(31, "parts of 700", package=file(PACKAGE, drop=700, how=("wait", 0), body_max=700))
    other = then(head("200 OK", 'ETag: "v2"', length=SIZE) + PACKAGE)
    yield Fault(32, "200, once", package=other, asked=3)
    again = [[head("200 OK", 'ETag: "v2"', length=SIZE) + PACKAGE[:3000]], [
        head("200 OK", 'ETag: "v3"', length=SIZE) + PACKAGE]]  # fmt: skip
    yield Fault(32, "200", ("changed",), package=[*other, *again], written=SOME, asked=4)
    yield Fault(32, "next release", manifest=[[head(length=len(MANIFEST)) + MANIFEST],
                *served(signed(NEXT, sequence=6))], package=[begun, *served(NEXT, 'ETag: "v2"')],
                written=SOME, asked=3, strategies=STRATEGIES[:2])  # fmt: skip
    span = f"Content-Range: bytes 3000-{SIZE - 1}/{SIZE}"
    other = then(head("206 P", span, 'ETag: "v2"') + rest)
    yield Fault(32, "206, once", package=[*other, *served(PACKAGE, TAG)], asked=3)
    yield Fault(32, "206", ("changed",), package=other * 2, written=SOME, asked=4)
    weak = file(PACKAGE, etag='W/"v1"', drop=3000, how=("wait", 0))
    yield Fault(33, "same file", package=weak, asked=2)
    wrong = head("416 R", f"Content-Range: bytes */{SIZE}")
    yield Fault(35, "once", package=[begun, [wrong], *served(PACKAGE, TAG)], asked=3)
    yield Fault(35, "always", ("status", 416), package=then(wrong), written=SOME, asked=3)


def _statuses():
    for code in (204, 205, 304):
        yield from both(36, f"{code}", ("status", code), lambda d, c=code: [[head(f"{c} X") + d]])
    for code in (301, 302, 303, 307, 308):
        more = {"there/file": served(MANIFEST)}
        page = [[head(f"{code} X", "Location: there/file", length=0)]]
        yield Fault(37, f"{code}, manifest", manifest=page, more=more)
        more = {"there": file(PACKAGE, drop=3000, how=("wait", 0))}
        page = [[head(f"{code} X", "Location: there", length=0)]]
        yield Fault(37, f"{code}, package", package=page, more=more, asked=2)
    loop = [[head("302 F", "Location: manifest")]]
    yield Fault(38, "loop, manifest", ("redirect",), manifest=loop)
    loop = [[head("302 F", "Location: package")]]
    yield Fault(38, "loop, package", ("redirect",), package=loop, asked=6)
    chain = {str(i): [[head("302 F", f"Location: {i + 1}")]] for i in range(5)}
    yield Fault(38, "chain of 6", ("redirect",), package=[[head("302 F", "Location: 0")]],
                more={**chain, "5": served(PACKAGE)})  # fmt: skip
    del chain["4"]
    yield Fault(38, "chain of 5", package=[[head("302 F", "Location: 0")]],
                more={**chain, "4": served(PACKAGE)})  # fmt: skip
    secret = {"headers": {"Authorization": "Bearer x"}}
    yield Fault(41, "other port", http=secret, elsewhere=("authorization",), more={
        "there": file(PACKAGE)}, package=[[head("302 F", "Location: {other}there")]])  # fmt: skip
    for place in ("", "http://", "http://a b/", "file:///etc/passwd", "ftp://localhost/x"):
        page = [[head("302 F", "Location: " + place)]]
        words = (("redirect", "url"),)
        yield from both(42, repr(place), words, lambda d, p=page: p)
    yield from both(42, "none", ("redirect",), lambda d: [[head("302 F")]])
    for code in (401, 403, 404, 410):
        yield from both(43, f"{code}", ("status", code), lambda d, c=code: [[head(f"{c} X") + d]],
                        written=NONE)  # fmt: skip
    yield Fault(43, "package is asked for once", ("status", 404), asked=1, package=[
        [head("404 X", length=0)]])  # fmt: skip
    now, then = "Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:38 GMT"
    for code in (408, 429, 503):
        for fields in (("Retry-After: 0",), (f"Date: {now}", f"Retry-After: {then}"),
                       ("Retry-After: soon",)):  # fmt: skip
            page = [[head(f"{code} X", *fields, length=0)], *served(PACKAGE)]
            yield Fault(44, f"{code} {fields[-1]}", package=page, asked=2)
    for code in (500, 502, 503, 504):
        page = [[head(f"{code} X", length=0)], *served(PACKAGE)]
        yield Fault(45, f"{code}, once", package=page, asked=2)
        yield Fault(45, f"{code}, always", ("status", code), asked=RETRIES + 1, package=page[:1])
        yield Fault(45, f"{code}, manifest", ("status", code), manifest=page[:1])
    interim = head("100 Continue"), head("103 Early Hints", "Link: x")
    for i in interim:
        yield from both(46, "1, 8", (), lambda d, i=i: [[i * 8 + head(length=len(d)) + d]])
        yield from both(46, "20", ("protocol",), lambda d, i=i: [[i * 20 + head() + d]])
    yield from both(47, "101", ("status", 101), lambda d: [[
        head("101 Switching", "Upgrade: x") + d]])  # fmt: skip


def _heads():
    for line, good in (
        ("HTTP/1.1 200", True), ("HTTP/1.0 200 OK", True), ("http/1.1 200 OK", False),
        ("HTTP/2.0 200 OK", False), ("HTTP/1.1 2000 OK", False), ("garbage", False),
    ):  # fmt: skip
        yield from both(48, line, () if good else ("protocol",), lambda d, s=line: [
            [s.encode() + b"\r\nContent-Length: %d\r\n\r\n" % len(d) + d]])  # fmt: skip
    yield from once(48, "no line end", ("reset",), lambda d: [b"HTTP/1.1 200 OK"])
    yield from both(49, "bare LF", (), lambda d: [[head(length=len(d)).replace(b"\r", b"") + d]])
    for line in ("X : a", " folded", "X: a\0b", "X: a\rb"):
        yield from both(49, repr(line), ("protocol",), lambda d, s=line: [
            [head("200 OK", s, length=len(d)) + d]])  # fmt: skip
    start = head()[:-2]
    for name, script in (
        ("line", [start + b"X: " + b"a" * 1100 + b"\r\n\r\n"]),
        ("block", [start + (b"X: " + b"a" * 900 + b"\r\n") * 5 + b"\r\n"]),
        ("number", [start + b"X: a\r\n" * 65 + b"\r\n"]),
        ("endless line", [start + b"X: ", ("repeat", b"a" * 999)]),
        ("endless", [start, ("repeat", b"X: aaaa\r\n" * 99)]),
    ):
        yield from both(50, name, ("headers",), lambda d, s=script: [s])
    yield Fault(51, "URL", ("url",), url="manifest\r\nX: y", asked=0)
    yield Fault(51, "field", ("headers",), http={"headers": {"X": "a\r\nY: b"}}, asked=0)
    page = file(PACKAGE, etag='"a\\b\x07"', drop=3000, how=("wait", 0))
    yield Fault(51, "entity tag", package=page, asked=2)
    yield from _kept()


def _kept():
    stale = head("200 OK", length=6) + b"stale!"
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
                    package=[script, *served(PACKAGE, TAG)], asked=2, retries=0)  # fmt: skip
    yield from both(53, "stale bytes", (), lambda d: [
        [head("200 OK", *keep, length=len(d)) + d + stale, ("hang",)]])  # fmt: skip
    yield Fault(53, "stale bytes later", manifest=[[whole, ("wait", 0.01), stale, ("hang",)]])
    for fields in (("Connection: close",), keep):
        yield from both(54, fields[-1], (), lambda d, f=fields: [
            [head("200 OK", *f, length=len(d)) + d, ("hang",)]], http=QUICK)  # fmt: skip
    yield from both(82, "a second answer", (), lambda d: [
        [head(length=len(d)) + d + head(length=len(d)) + d]])  # fmt: skip
    yield Fault(82, "answer without a body", (("length", "short"),), package=[
        [head("200 OK", length=0) + head(length=SIZE) + PACKAGE]])  # fmt: skip
    yield Fault(82, "the answer before once more", manifest=[[whole, ("keep",)]],
                package=[[whole], *served(PACKAGE, TAG)], asked=2, retries=0)  # fmt: skip


def _trust():
    page = b"<html><title>Sign in</title>" + b" " * 2000 + b"</html>"
    login = {"login": served(page)}
    away = [[head("302 F", "Location: login", length=0)]]
    yield Fault(59, "200, manifest", ("manifest",), manifest=served(page))
    yield Fault(59, "302, manifest", ("manifest",), manifest=away, more=login)
    yield Fault(59, "200, package", ("length",), package=served(page), asked=1)
    yield Fault(59, "302, package", ("length",), package=away, more=login)
    page += b" " * (SIZE - len(page))
    yield Fault(59, "of the right size", ("header",), package=served(page), asked=1)
    yield Fault(59, "of no size", ("header",), package=[[head() + page]], asked=1)
    yield Fault(60, "manifest", ("manifest",), manifest=served(b""))
    yield Fault(60, "package", ("length",), package=served(b""), asked=1)
    page = [[head()]]
    yield Fault(60, "package of no size", ("short",), package=page, asked=RETRIES + 1)
    for n in range(1, len(MANIFEST), 61):
        words = (("manifest", "key", "signature"),)
        yield Fault(61, f"at {n}", words, manifest=served(MANIFEST[:n]))
    for name, words, made in _manifests():
        yield Fault(62, name, words, manifest=served(made))
    endless = [[head() + MANIFEST, ("repeat", bytes(1000))]]
    yield Fault(63, "endless", ("size",), manifest=endless)
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
    broken = [[head(length=SIZE) + PACKAGE[:3000]], [head("404 X", length=0)], *served(PACKAGE)]
    yield Fault(65, "older manifest", ("sequence",), first=later, package=broken)
    yield Fault(66, "same version", result="none", manifest=served(signed(version="0.1")))
    old = served(signed(expires=1000000000))
    yield Fault(67, "expired", ("expired",), manifest=old, now=1800000000)
    yield Fault(67, "without a clock", manifest=old)
    for version in ("2147483647.0", "9999.x", "1.2.3.4.5", "99999999999999999999", "-1"):
        yield Fault(68, version, ("field",), manifest=served(signed(version=version)))
    other = Package(scenes.THREE, None).data()
    yield Fault(69, "other image", (("digest", "length"),), package=served(other))
    base = Package(scenes.TWO, scenes.THREE).data()
    stranger = served(signed(base, base=scenes.THREE))
    yield Fault(69, "no package for this base", ("base",), manifest=stranger)
    lying = served(signed(base, base=scenes.ONE))
    yield Fault(69, "delta for other base", ("base",), manifest=lying, package=served(base))
    yield Fault(70, "product", ("product",), manifest=served(signed(product="toaster")))
    wrong = Package(scenes.TWO, None, target="fonts").data()
    yield Fault(70, "target", ("target",), manifest=served(signed(wrong)), package=served(wrong))
    low = served(signed(floor=2))
    yield Fault(71, "below the floor", manifest=low, floor=3, asked=0, result="none")
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
    # Other strategies stage it unread; the boot stage decodes and refuses it.
    for name, words, package in _patches():
        made = signed(package, base=scenes.ONE, version="0.3", new=scenes.THREE)
        yield Fault(73, name, words, manifest=served(made), package=served(package),
                    written=SOME, strategies=("ab",))  # fmt: skip


def _manifests():
    good = described()
    yield "BOM", ("manifest",), b"\xef\xbb\xbf" + MANIFEST
    yield "not UTF-8", ("manifest",), manifest(b'{"format":1,"notes":"\xc3\x28"}')
    yield "nested", ("manifest",), manifest(b'{"a":' + b"[" * 5000)
    for name, value in (
        ("sequence", -1), ("sequence", 1 << 64), ("sequence", "5"), ("product", 5),
        ("sequence", None), ("releases", {}), ("format", True), ("sequence", 1.5),
    ):  # fmt: skip
        word = "format" if name == "format" else "field"
        yield f"{name} {value}", (("field", word),), manifest({**good, name: value})
    for text in (b"1e400", b"NaN"):
        made = manifest(b'{"format":1,"product":"rig","channel":"x","sequence":' + text + b"}")
        yield text.decode(), (("manifest", "field"),), made
    missing = dict(good)
    del missing["releases"]
    yield "missing", ("field",), manifest(missing)
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
    for stop in (1, 2, 3, 5, 8, 13, 21, 34):
        yield Fault(78, f"given up after {stop} steps", result="", stop=stop, written=SOME)
    for date in ("Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 2099 23:59:59 GMT", "now"):
        yield from both(74, date, (), lambda d, t=date: served(d, "Date: " + t))
    yield Fault(75, "package", package=served(PACKAGE), erase_ms=20, asked=1)
    drop = file(PACKAGE, drop=3000, how=("hang",))
    yield Fault(76, "silence, no names, other way", package=drop, http=QUICK,
                names=(0, 0, -3, "refused", "other"), asked=2)  # fmt: skip
    yield from both(77, "407", ("status", 407), lambda d: [[head("407 X", length=0)]])
    less = PACKAGE.replace(b"\0\0", b"\0")
    page = served(less, "Via: 1.1 proxy")
    yield Fault(77, "changed length", ("length",), package=page, asked=1)
    yield Fault(81, "user info", ("url",), url="user@manifest", asked=0)
