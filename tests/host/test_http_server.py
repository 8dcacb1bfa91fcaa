"""The HTTP client against a server that misbehaves by script, on both interpreters.

Every case runs in a process of CPython and in one of MicroPython; both must give the expected
result and leave no socket open.
"""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import certificates
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fault_pages import chunked, file, head
from fault_server import FaultServer, closed_port

_TESTS = Path(__file__).parents[1]
_MICROPYTHON = Path(sys.executable).parent / "micropython"

DATA = bytes(i * 7 % 251 for i in range(3000))
SMALL = DATA[:40]
TAG = 'ETag: "v1"\r\n'
QUICK = {"idle_ms": 300}
RESUME = {"pause_ms": 1}


def digest(data):
    return hashlib.sha256(data).hexdigest()


class Cases:
    """Cases and the pages they ask for, each under a path of its own."""

    def __init__(self, server):
        self.server = server
        self.cases = []
        self.expected = []

    def add(self, name, page, expected, path="", **case):
        """expected: of the result; an error is the list of its first words and numbers."""
        place = f"/{len(self.cases)}"
        if page is not None:
            self.server.pages[place] = page
        self.cases.append({"name": name, "url": self.server.url + place + path, **case})
        self.expected.append(expected)

    def body(self, name, page, data, **case):
        """A case that ends well, with exactly data."""
        self.add(name, page, {"error": None, "got": len(data), "digest": digest(data)}, **case)

    def error(self, name, page, *words, **case):
        """A case that is refused; its error begins with words."""
        self.add(name, page, {"error": list(words)}, **case)

    def run(self, tmp_path):
        """Run them all on both interpreters; return (case, expected, {interpreter: result})."""
        host = run(sys.executable, self.cases, tmp_path)
        host_requests = self.server.requests
        self.server.restart()
        for page in self.server.pages.values():
            getattr(page, "again", lambda: None)()
        board = run(_MICROPYTHON, self.cases, tmp_path)
        self.requests = {"CPython": host_requests, "MicroPython": self.server.requests}
        return list(zip(self.cases, self.expected, host, board, strict=True))


def run(interpreter, cases, tmp_path, *options, tests=_TESTS):
    """Results of the cases, one dict each."""
    file = tmp_path / "cases.json"
    file.write_text(json.dumps(cases))
    done = subprocess.run(
        [interpreter, *options, tests / "support/net/players/fetch.py", file],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout[-500:] + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def check(done):
    bad = []
    for case, expected, *results in done:
        for where, result in zip(("CPython", "MicroPython"), results, strict=True):
            if result["open"]:
                bad.append(f"{case['name']} on {where}: {result['open']} sockets left open")
            for key, want in expected.items():
                got = result.get(key)
                if key == "error" and want and got:
                    got = got[: len(want)]
                if got != want:
                    bad.append(f"{case['name']} on {where}: {key} {got!r}, not {want!r}: {result}")
    assert not bad, "\n".join(bad)


@pytest.fixture
def cases():
    with FaultServer() as server:
        yield Cases(server)


def test_good_answers(cases, tmp_path):
    whole = head(length=len(DATA))
    body, add = cases.body, cases.add
    body("length", [[whole + DATA]], DATA)
    body("until the close", [[head() + DATA]], DATA)
    body("HTTP/1.0", [[b"HTTP/1.0 200 OK\r\n\r\n" + DATA]], DATA)
    body("no reason", [[b"HTTP/1.1 200\r\n\r\n" + DATA]], DATA)
    body("bare LF", [[whole.replace(b"\r", b"") + DATA]], DATA)
    body("more than the length", [[whole + DATA + b"more" * 1000]], DATA)
    body("empty", [[head(length=0)]], b"")
    body("length twice", [[head("200 OK", "Content-Length: 3000", length=3000) + DATA]], DATA)
    coding = head("200 OK", "Transfer-Encoding: chunked")
    end = b"0\r\n\r\n"
    for size in (1, 7, 1000):
        body(f"chunks of {size}", [[coding + chunked(DATA, size) + end]], DATA)
    body("a chunk in pieces", [[coding, ("drip", chunked(SMALL, 15) + end, 0.0002)]], SMALL)
    body("lower case", [[coding + chunked(DATA, 300).lower() + end]], DATA.lower())
    trailers = b"0;x\r\nTrailer: a\r\nOther: b\r\n\r\nmore"
    body("extensions", [[coding + chunked(DATA, 99, b";a=b") + trailers]], DATA)
    body("head in pieces", [[("drip", whole, 0.0002), DATA]], DATA)
    interim = head("103 Early Hints", "Link: x")
    body("interim", [[head("100 Continue") + interim * 7 + whole + DATA]], DATA)
    body("slow, but not too slow", [[head(length=40), ("drip", SMALL, 0.01)]], SMALL,
         limits={"rate": 2, "rate_ms": 200})  # fmt: skip
    add("part", file(DATA), {"status": 206, "offset": 1000, "length": 2000, "total": 3000,
        "etag": '"v1"', "digest": digest(DATA[1000:])}, offset=1000, etag='"v1"')  # fmt: skip
    add("no ranges", file(DATA, ranges=False),
        {"status": 200, "offset": 0, "digest": digest(DATA)}, offset=1000)  # fmt: skip
    add("changed", file(DATA, etag='"v2"'), {"status": 200, "offset": 0, "etag": '"v2"'},
        offset=1000, etag='"v1"')  # fmt: skip
    add("all there", file(DATA), {"status": 416, "got": 0, "total": 3000}, offset=3000)
    add("weak tag", [[head("200 OK", 'ETag: W/"x"')]], {"etag": None})
    body("second address", [[whole + DATA]], DATA, names=[[closed_port(), 0]])
    check(cases.run(tmp_path))


def test_redirects(cases, tmp_path):
    secret = {"Authorization": "Bearer x"}
    with FaultServer({"/end": file(DATA)}) as other:
        cases.server.pages["/end"] = file(DATA)
        for status in ("301 M", "302 F", "303 S", "307 T", "308 P"):
            cases.body(status, [[head(status, "Location: end")]], DATA[9:], offset=9)
        there = head("302 F", f"Location: {other.url}/end", length=0)
        cases.body("to another server", [[there]], DATA, headers=secret)
        place = f"/{len(cases.cases)}"
        cases.error("loop", [[head("302 F", "Location: " + place)]], "redirect")
        for location, word in (
            ("file:///etc/passwd", "url"),
            ("ftp://localhost/", "url"),
            ("http://user@localhost/", "url"),
            ("http://a b/", "url"),
            ("", "redirect"),
        ):
            cases.error(location, [[head("302 F", "Location: " + location)]], word)
        cases.error("no location", [[head("302 F")]], "redirect")
        check(cases.run(tmp_path))
        assert len(other.requests) == 2
        assert all("authorization" not in r.fields for r in other.requests)
    for requests in cases.requests.values():
        first = [r for r in requests if "authorization" in r.fields]
        assert len(first) == 1
        assert sum(r.path == place for r in requests) == 6


def test_bad_answers(cases, tmp_path):
    error = cases.error
    rest = b"\r\nContent-Length: 5\r\n\r\nhello"
    for line in (
        b"HTTP/2.0 200 OK",
        b"HTTP/1.1 2000 OK",
        b"HTTP/1.1 -20 OK",
        b"garbage",
        b"",
    ):
        error(f"status line {line}", [[line + rest]], "protocol")
    error("no line end", [[b"HTTP/1.1 200 OK"]], "reset")
    for line in ("Content-Length : 5", "Content-Range: a\r\n b", "X: a\0b", "X: a\rb"):
        error(f"field {line!r}", [[head("200 OK", line) + DATA]], "protocol")
    for value in ("+", "-1", "5x", "9223372036854775808", "5, 6"):
        error(f"length {value!r}", [[head(length=value) + DATA]], "protocol")
    twice = head("200 OK", "Content-Length: 5", length=6)
    error("two lengths", [[twice + DATA]], "protocol")
    both = head("200 OK", "Transfer-Encoding: chunked", length=5)
    error("length and chunks", [[both + b"5\r\nhello\r\n0\r\n\r\n"]], "protocol")
    error("coding", [[head("200 OK", "Transfer-Encoding: gzip")]], "protocol")
    coding = head("200 OK", "Transfer-Encoding: chunked")
    for chunk in (
        b"\r\n",
        b"x\r\n",
        b"-5\r\n",
        b"80000000\r\n",
        b"5" * 40 + b"\r\n",
        b"2\r\nheXX\r\n",
    ):
        error(f"chunk {chunk}", [[coding + chunk + b"hello\r\n0\r\n\r\n"]], "protocol")
    error("encoding", [[head("200 OK", "Content-Encoding: gzip")]], "encoding")
    for part in ("bytes 8-2999/3000", "bytes 9-2999/2999", "bytes 9-5/3000", "nonsense"):
        page = [[head("206 P", "Content-Range: " + part) + DATA]]
        error(f"range {part}", page, "range", offset=9)
    error("no range", [[head("206 P", "Content-Type: multipart/byteranges") + DATA]],
          "range", offset=9)  # fmt: skip
    other = head("206 P", "Content-Range: bytes 9-2999/3000", 'ETag: "v2"')
    error("other tag", [[other + DATA[9:]]], "changed", offset=9, etag='"v1"')
    error("range too far", file(DATA), "range", 416, 3000, offset=3001)
    for status in (204, 205, 304, 401, 403, 404, 407, 410, 500, 503):
        error(f"{status}", [[head(f"{status} X") + b"body"]], "status", status)
    error("switching", [[head("101 Switching", "Upgrade: x")]], "status", 101)
    error("busy", [[head("429 Busy", "Retry-After: 99999")]], "status", 429, 3600)
    error("interim for ever", [[head("100 Continue"), ("repeat", head("100 C"))]], "protocol")
    start = head()[:-2]
    error("long line", [[start + b"Content-Range: " + b"a" * 1100 + b"\r\n\r\n"]], "headers")
    error("endless line", [[start + b"X: ", ("repeat", b"a" * 999)]], "headers")
    error("many fields", [[start + b"X: a\r\n" * 257 + b"\r\n"]], "headers")
    error("endless fields", [[start, ("repeat", b"X: aaaa\r\n" * 99)]], "headers")
    error("endless trailers", [[coding + b"0\r\n", ("repeat", b"X: a\r\n" * 99)]], "headers")
    check(cases.run(tmp_path))


def test_broken_connections(cases, tmp_path):
    error = cases.error
    start = head(length=len(DATA))
    error("close at once", [[]], "reset")
    error("reset at once", [[("reset",)]], "reset")
    for cut in (1, 9, 20, len(start) - 1):
        error(f"reset in head at {cut}", [[start[:cut], ("reset",)]], "reset")
        error(f"close in head at {cut}", [[start[:cut]]], "reset")
    error("reset after head", [[start, ("reset",)]], "reset")
    error("reset in body", [[start + DATA[:100], ("reset",)]], "reset")
    error("close after head", [[start]], "short", 0)
    error("half-close after head", [[start, ("half",)]], "short", 0)
    error("short", [[start + DATA[:2999]]], "short", 2999)
    coding = head("200 OK", "Transfer-Encoding: chunked")
    error("no last chunk", [[coding + chunked(DATA, 500)]], "short", 3000)
    error("half a chunk", [[coding + chunked(DATA, 500)[:600]]], "short")
    error("silence", [[("hang",)]], "timeout", limits=QUICK)
    error("silence in head", [[start[:9], ("hang",)]], "timeout", limits=QUICK)
    error("silence in body", [[start + DATA[:9], ("hang",)]], "timeout", limits=QUICK)
    slow = {"rate_ms": 200, "rate": 1000}
    error("too slow", [[start, ("drip", DATA[:200], 0.01)]], "slow", limits=slow)
    error("too slow a head", [[("drip", head("200 OK", "X: " + "a" * 99), 0.01)]], "slow",
          limits=slow)  # fmt: skip
    error("nobody listens", None, "connect", url=f"http://127.0.0.1:{closed_port()}/")
    error("no such name", None, "dns", "name", url="http://name.invalid/")
    error("no such name, resuming", None, "dns", "name", url="http://name.invalid/", resume=RESUME)
    check(cases.run(tmp_path))


def test_ipv6_address(tmp_path):
    try:
        server = FaultServer({"/": file(DATA)}, ipv6=True)
    except OSError:
        pytest.skip("this computer has no IPv6 loopback")
    with server:
        cases = Cases(server)
        cases.body("literal", None, DATA, url=f"http://[::1]:{server.port}/")
        check(cases.run(tmp_path))
        assert server.requests[0].fields["host"] == f"[::1]:{server.port}"


def test_resets_before_the_request(tmp_path):
    with FaultServer(first=[("reset",)]) as server:
        cases = Cases(server)
        cases.add("reset at accept", None, {}, resume={**RESUME, "retries": 2})
        for _, _, *results in cases.run(tmp_path):
            for result in results:
                assert result["error"][0] in ("reset", "connect")
                assert result["open"] == 0


def test_drops_are_resumed(cases, tmp_path):
    body = cases.body
    for how in (("reset",), ("wait", 0)):
        for cut in range(len(SMALL)):
            page = file(SMALL, drop=cut, how=how)
            body(f"{how[0]} after {cut}", page, SMALL, resume=RESUME, offset=0)
    body("again and again", file(DATA, drop=500, times=5), DATA, resume=RESUME)
    body("no ranges", file(DATA, ranges=False, drop=1000), DATA, resume=RESUME)
    body("parts", file(DATA, body_max=400), DATA[1:], resume=RESUME, offset=1)
    body("stall", file(DATA, drop=700, how=("hang",)), DATA, resume=RESUME, limits=QUICK)
    coding = head("200 OK", "Transfer-Encoding: chunked", 'ETag: "v1"')
    rest = head("206 P", f"Content-Range: bytes 1000-2999/{len(DATA)}", 'ETag: "v1"')
    page = [[coding + chunked(DATA[:1000], 500)], [rest + DATA[1000:]]]
    body("no last chunk", page, DATA, resume=RESUME)
    for status in ("408 T", "429 B", "500 E", "502 E", "503 E", "504 E"):
        page = [[head(status)], [head(length=len(DATA)) + DATA]]
        body(status, page, DATA, resume=RESUME)
    whole = head("200 OK", TAG.strip(), length=len(DATA))
    other = head("200 OK", 'ETag: "v2"', length=len(DATA))
    cases.error("changed", [[whole + DATA[:100]], [other + DATA]], "changed", resume=RESUME)
    cases.error("gone", [[whole + DATA[:100]], [head("404 No")]], "status", 404, resume=RESUME)
    cases.error("no progress", [[whole + DATA[:100]], [("reset",)]], "retries", 100,
                resume=RESUME)  # fmt: skip
    cases.error("size", [[whole + DATA]], "length", 3000, resume={**RESUME, "size": 2999})
    endless = [[head(), ("repeat", DATA)]]
    cases.error("endless body", endless, "length", resume={**RESUME, "size": 2999})
    done = cases.run(tmp_path)
    check(done)
    for requests in cases.requests.values():
        for cut in range(1, len(SMALL)):
            # After the orderly closes: a reset may overtake what was sent before it.
            second = [r for r in requests if r.path == f"/{len(SMALL) + cut}"][1]
            assert second.fields["range"] == f"bytes={cut}-"
            assert second.fields["if-range"] == '"v1"'
        assert sum(r.path == cases.cases[-3]["url"][-len(r.path) :] for r in requests) == 10


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return certificates.make(tmp_path_factory.mktemp("pki"))


def test_tls(pki, tmp_path):
    big = DATA * 30
    trust = {"ca": str(pki.ca)}
    pages = {
        "/length": [[head(length=len(big)) + big]],
        "/cut at the end": [[head(length=len(DATA)) + DATA, ("cut",)]],
        "/cut": [[head(length=len(DATA)) + DATA[:9], ("cut",)]],
        "/record": [[head(length=len(DATA)) + DATA[:9], ("raw", b"garbage!" * 9)]],
    }
    pages["/record, resumed"] = [pages["/record"][0], [head(length=len(DATA)) + DATA]]
    pages["/reset, resumed"] = file(big, drop=40000)
    with FaultServer(pages, certificate=pki.good) as server, FaultServer() as plain:
        pages["/to http"] = [[head("302 F", f"Location: {plain.url}/end")]]
        plain.pages["/end"] = file(DATA)
        plain.pages["/to https"] = [[head("302 F", f"Location: {server.url}/length")]]
        cases = Cases(server)

        def add(name, path, **case):
            case = {"tls": trust, "url": server.url + path.replace(" ", "%20"), **case}
            return name, {**case}

        server.pages.update({p.replace(" ", "%20"): page for p, page in pages.items()})
        plain.pages["/to%20https"] = plain.pages["/to https"]

        def body(name, path, data, **case):
            name, case = add(name, path, **case)
            cases.body(name, None, data, **case)

        def error(name, path, *words, **case):
            name, case = add(name, path, **case)
            cases.error(name, None, *words, **case)

        ip = f"https://127.0.0.1:{server.port}/length"
        body("file", "/length", big)
        body("DER", "/length", big, tls={"ca": str(pki.ca_der)})
        body("text", "/length", big, tls={"ca": pki.ca.read_text()})
        several = pki.other_ca.read_text() + pki.ca.read_text()
        body("several", "/length", big, tls={"ca": several})
        body("address", "", big, url=ip)
        body("not verified", "/length", big, tls={"verify": False})
        body("no goodbye", "/cut at the end", DATA)
        error("no goodbye, short", "/cut", "short", 9)
        error("bad record", "/record", "reset")
        body("bad record, resumed", "/record, resumed", DATA, resume=RESUME)
        body("reset, resumed", "/reset, resumed", big, resume=RESUME)
        error("no CA", "/length", "tls", tls=None)
        error("empty CA", "/length", "tls", tls={})
        error("verify is None", "/length", "tls", tls={"verify": None})
        error("no such file", "/length", "tls", "ca", tls={"ca": str(tmp_path / "none.pem")})
        error(
            "half a certificate", "/length", "tls", "ca", tls={"ca": "-----BEGIN CERTIFICATE-----"}
        )
        error("no CA", "/length", "tls", "ca", tls={"ca": ""})
        error("other CA", "/length", "tls", tls={"ca": str(pki.other_ca)})
        error("other CA, resuming", "/length", "tls", tls={"ca": str(pki.other_ca)}, resume=RESUME)
        error("to http", "/to http", "downgrade")
        body("to https", "", big, url=plain.url + "/to%20https")
        error("http to a TLS port", "", "reset", url=f"http://localhost:{server.port}/length")
        check(cases.run(tmp_path))
        assert all(r.path != "/end" for r in plain.requests)


def pins_of(path):
    """(SHA-256 of the public key, of the certificate) of a PEM file, as hex texts."""
    made = x509.load_pem_x509_certificate(path.read_bytes())
    key = made.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return digest(key), digest(made.public_bytes(Encoding.DER))


@pytest.mark.parametrize("name", ["good", "wrong_host", "expired", "future", "self_signed"])
def test_pins(pki, tmp_path, name):
    path = getattr(pki, name)
    key, whole = pins_of(path)
    other, _ = pins_of(pki.other_ca)
    with FaultServer({"/": file(DATA)}, certificate=path) as server:
        cases = Cases(server)
        url = server.url + "/"
        for pins in ([key], [whole], [other, key], [key.upper()]):
            # A key that is known needs no names, dates and signatures.
            cases.body("pinned", None, DATA, tls={"pins": pins}, url=url)
        check(cases.run(tmp_path))
        server.requests.clear()
        cases = Cases(server)
        for pins in ([other], [], ["x"], [key[:-2]], ["0" * 64, other], 7, None):
            cases.error("not pinned", None, "tls", tls={"pins": pins}, url=url)
        cases.error(
            "CA, other pin", None, "tls", tls={"ca": str(pki.ca), "pins": [other]}, url=url
        )
        cases.error("other CA", None, "tls", tls={"ca": str(pki.other_ca), "pins": [key]}, url=url)
        if name != "good":
            cases.error("pin, bad", None, "tls", tls={"ca": str(pki.ca), "pins": [key]}, url=url)
        check(cases.run(tmp_path))
        # Nobody else learns even what is asked for.
        assert not server.requests
        if name == "good":
            cases = Cases(server)
            cases.body("both", None, DATA, tls={"ca": str(pki.ca), "pins": [key]}, url=url)
            check(cases.run(tmp_path))


@pytest.mark.parametrize("name", ["wrong_host", "expired", "future", "self_signed"])
def test_bad_certificates(pki, tmp_path, name):
    with FaultServer({"/": file(DATA)}, certificate=getattr(pki, name)) as server:
        cases = Cases(server)
        url = server.url + "/"
        cases.error(name, None, "tls", tls={"ca": str(pki.ca)}, url=url)
        cases.error("resuming", None, "tls", tls={"ca": str(pki.ca)}, url=url, resume=RESUME)
        check(cases.run(tmp_path))
        assert not server.requests


def test_bad_handshakes(pki, tmp_path):
    trust = {"ca": str(pki.ca)}
    for first, word, limits in (
        ([b"garbage!" * 20], "tls", {}),
        ([b"HTTP/1.0 400 Bad Request\r\n\r\n"], "tls", {}),
        ([("reset",)], None, {}),
        ([("hang",)], "timeout", {"handshake_ms": 300}),
    ):
        with FaultServer(first=first) as server:
            cases = Cases(server)
            url = f"https://localhost:{server.port}/"
            cases.add("handshake", None, {}, tls=trust, limits=limits, url=url)
            for _, _, *results in cases.run(tmp_path):
                for result in results:
                    assert result["error"][0] in ([word] if word else ["reset", "connect"])
                    assert result["open"] == 0
    with FaultServer({"/": file(DATA)}, certificate=pki.good, old=True) as server:
        cases = Cases(server)
        cases.error("TLS 1.1", None, "tls", tls=trust, url=server.url + "/")
        check(cases.run(tmp_path))


def test_memory_stays_small(tmp_path, board_files):
    body = DATA * 200
    coding = head("200 OK", "Transfer-Encoding: chunked")
    with FaultServer() as server:
        cases = Cases(server)
        cases.body("length", [[head(length=len(body)) + body]], body)
        cases.body("chunked", [[coding + chunked(body, 4000) + b"0\r\n\r\n"]], body)
        cases.body("resumed", file(body, drop=100000, times=3), body, resume=RESUME)
        cases.body(
            "no ranges", file(body, ranges=False, drop=100000, times=3), body, resume=RESUME
        )
        heap = ("-X", "heapsize=96K")  # 80 are enough most times; a body has 600
        results = run(_MICROPYTHON, cases.cases, tmp_path, *heap, tests=board_files / "tests")
    assert [r["digest"] for r in results] == [digest(body)] * 4
