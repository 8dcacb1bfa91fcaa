"""Rows of docs/network-faults.md against a real nginx over TLS, with a chain of certificates.

The server block is the one of docs/publish.md. Whole updates, played by players/update.py, on
both interpreters.
"""

import json
import os
import socket
import struct
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import certificates
import pytest
import scenes
import web_servers
from fault_pages import head
from fault_server import FaultServer
from network_faults import (
    ALL,
    CLEAN,
    LONG,
    MORE,
    PACKAGE,
    SIZE,
    SOME,
    STRATEGIES,
    Fault,
    served,
    staged,
)
from packer import OTHER_KEY, content, entry, manifest, release
from test_network_faults import problems

_TESTS = Path(__file__).parents[1]
_PLAYER = "support/net/players/update.py"
_INTERPRETERS = {
    "CPython": [sys.executable],
    "MicroPython": [Path(sys.executable).parent / "micropython", "-X", "heapsize=8M"],
}
_MORE = """
    location /case/ { }
    location = /case/moved/manifest.ota { return 302 /case/there/manifest.ota; }
    location = /case/round/manifest.ota { return 302 /case/round/manifest.ota; }
    location = /case/down/manifest.ota { return 302 http://localhost/case/down/manifest.ota; }
    location = /case/busy/manifest.ota { add_header Retry-After 1 always; return 503; }
    location = /case/alone/manifest.ota { keepalive_timeout 0; }
    location = /case/single/manifest.ota { keepalive_requests 1; }
    location = /case/short/manifest.ota { keepalive_timeout 1ms; }
    location = /case/drip/manifest.ota { limit_rate 9; }
    location = /case/drip_package/p.ota { limit_rate 9; }
    location = /case/gone_package/p.ota { return 404; }
    location = /case/elsewhere/manifest.ota { return 302 file:///etc/passwd; }
    location = /case/status204/manifest.ota { return 204; }
    location = /case/status401/manifest.ota { return 401; }
    location = /case/status403/manifest.ota { return 403; }
    location = /case/status404/manifest.ota { return 404; }
    location = /case/status407/manifest.ota { return 407; }
    location = /case/status410/manifest.ota { return 410; }
    location = /case/status500/manifest.ota { return 500; }
    location = /case/status502/manifest.ota { return 502; }
    location = /case/status504/manifest.ota { return 504; }
    location /case/no_ranges/ { max_ranges 0; }
    location /case/weak/ { etag off; add_header ETag 'W/"1"'; }
    location /case/weak_other/ { etag off; add_header ETag 'W/"1"'; }
    location /case/shrinks/ { etag off; }
    location = /case/refuses/p.ota { if ($http_range) { return 416; } }
    location /case/secret/ {
        if ($http_authorization != "Bearer x") { return 401; }
        rewrite ^/case/secret/(.*)$ https://127.0.0.1:$server_port/case/open/$1 redirect;
    }
    location /case/open/ { if ($http_authorization) { return 403; } }
    location /case/chunks/ { chunked_transfer_encoding on; gzip on; gzip_types *; }
    location / {"""


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return certificates.make(tmp_path_factory.mktemp("pki"))


class _Line:
    """A line to a port that is cut, the first times, after so many bytes from there; TLS or not.

    silent: not cut, but nothing comes any more. then(): called at each cut before it.
    records: length of each TLS record of application data from there.
    """

    def __init__(self, port, after=0, times=0, silent=False, then=None):
        self._target, self._after, self._left = port, after, times
        self._silent, self._then = silent, then
        self._data = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self):
        while True:
            try:
                near = self._socket.accept()[0]
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._target))
            cut, self._left = self._left > 0, self._left - 1
            data = bytearray()
            self._data.append(data)
            for a, b, most, seen in (
                (near, far, None, bytearray()),
                (far, near, self._after if cut else None, data),
            ):
                end = self._end if most is not None else _shut
                args = a, b, most, seen, end
                threading.Thread(target=_pass, args=args, daemon=True).start()

    def _end(self, a, b):
        if self._then:
            self._then()
        if not self._silent:
            _shut(a, b)

    @property
    def records(self):
        found = []
        for data in self._data:
            at = 0
            while at < len(data):
                kind, _, length = struct.unpack_from(">BHH", data, at)
                at += 5 + length
                if kind == 23:
                    found.append(length)
        return found


def _pass(a, b, most, seen, end):
    try:
        while most != 0 and (data := a.recv(1000 if most is None else min(most, 1000))):
            seen += data
            b.sendall(data)
            if most is not None:
                most -= len(data)
    except OSError:
        pass
    end(a, b)


def _shut(a, b):
    for s in (a, b):
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class _Server:
    """nginx over www; play() runs cases and says what each ended with."""

    def __init__(self, tests, folder, www, port, pki, clean):
        self._tests = tests
        self.port = port
        self.url = f"https://localhost:{port}"
        self._folder, self._www, self._ca = folder, www, str(pki.ca)
        self.clean = clean
        self.cases, self.faults = [], {}

    def place(self, name, package=PACKAGE, promised=None, sequence=5, keys=None):
        """A case's files: a manifest of the package promised, and a package."""
        folder = self._www / "case" / name
        folder.mkdir(parents=True, exist_ok=True)
        found = release("0.2", scenes.TWO, [entry("p.ota", promised or package)])
        made = content([found], sequence)
        (folder / "manifest.ota").write_bytes(manifest(made, keys) if keys else manifest(made))
        (folder / "p.ota").write_bytes(package)
        # The entity tag of nginx is made of the time and the size.
        os.utime(folder / "p.ota", (sequence, sequence))
        return folder

    def add(self, name, url=None, strategy="ab", fault=None, **http):
        """A case; fault: what must come of it, by default an update."""
        if not (self._www / "case" / name).exists():
            self.place(name)
        self.faults[name] = fault or Fault(0, name)
        if not isinstance(url, list):
            url = (url or self.url) + f"/case/{name}/manifest.ota"
        self.cases.append({
            "name": name, "strategy": strategy, "clean": self.clean, "url": url,
            "http": {"tls": {"ca": self._ca}, **http},
        })  # fmt: skip

    def refused(self, name, *words, url=None, strategy="ab", waits=0, written=None, **http):
        """A case that ends with an error of these words."""
        fault = Fault(0, name, words, waits=waits, written=written)
        self.add(name, url, strategy, fault, **http)

    def play(self, interpreter):
        """{name: what the update ended with}"""
        file = self._folder / "cases.json"
        file.write_text(json.dumps(self.cases))
        done = subprocess.run(
            [*_INTERPRETERS[interpreter], self._tests[interpreter] / _PLAYER, file, "wait"],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-500:] + done.stderr
        out, usual, bad = {}, {}, []
        ways = {case["name"]: case["strategy"] for case in self.cases}
        for result in map(json.loads, done.stdout.splitlines()):
            name = result["name"]
            if name in STRATEGIES:
                usual[name] = result
                continue
            found = problems(usual[ways[name]], self.faults[name], result, interpreter)
            bad += [f"{name}: {what}" for what in found]
            out[name] = result["error"] or result["result"]
        assert not bad, "\n".join(bad)
        assert len(out) == len(self.cases)
        return out

    def log(self, name):
        """[(number of the connection, status, bytes)] of a case's requests, in their order."""
        lines = (self._folder / "access.log").read_text().splitlines()
        found = [line.split() for line in lines if f"/case/{name}/" in line]
        return [(int(c), int(status), int(n)) for c, status, n, _ in found]


@pytest.fixture
def records():
    """Longest TLS record of the server."""
    return "4k"


@pytest.fixture
def server(tmp_path, pki, records, board_files):
    www = tmp_path / "www"
    www.mkdir()
    config = web_servers.documented("nginx").replace(
        "    listen 80;\n", web_servers.documented("nginx", 1)
    )
    config = config.replace("\n    location / {", _MORE)
    with web_servers.nginx(
        tmp_path, config, root=f'"{www}"',
        ssl_certificate=f'"{pki.chain}"', ssl_certificate_key=f'"{pki.chain}"',
        ssl_buffer_size=records,
    ) as port, FaultServer() as clean:  # fmt: skip
        clean.pages = {"/manifest": served(CLEAN), "/package": served(PACKAGE)}
        for name in ("manifest.ota", "p.ota"):
            there = f"Location: https://localhost:{port}/case/there/{name}"
            clean.pages["/case/to_https/" + name] = [[head("302 F", there)]]
        tests = {"CPython": _TESTS, "MicroPython": board_files / "tests"}
        yield _Server(tests, tmp_path, www, port, pki, clean.url + "/manifest")


@pytest.mark.parametrize("interpreter", _INTERPRETERS)
def test_one_connection_brings_manifest_and_package(server, interpreter):
    server.add("one")
    server.add("parts", part=1000)
    server.add("staged", strategy="pingpong", part=1000)
    assert set(server.play(interpreter).values()) == {"ready"}
    one = server.log("one")
    assert [status for _, status, _ in one] == [200, 200] and one[0][0] == one[1][0]
    for name in ("parts", "staged"):
        parts = server.log(name)
        assert len({connection for connection, _, _ in parts}) == 1
        assert [status for _, status, _ in parts] == [206] * (1 + -(-SIZE // 1000))
        assert max(n for _, _, n in parts) <= 1000
        assert sum(n for _, _, n in parts[1:]) == SIZE


@pytest.mark.parametrize("interpreter", _INTERPRETERS)
@pytest.mark.parametrize("records", ["16k"])
def test_parts_keep_records_short(server, interpreter):
    line = _Line(server.port)
    server.add("whole", f"https://localhost:{line.port}")
    assert server.play(interpreter)["whole"] == "ready"
    line.close()
    assert max(line.records) > 4096
    line = _Line(server.port)
    server.cases.clear()
    server.add("parts", f"https://localhost:{line.port}", part=3072)
    assert server.play(interpreter)["parts"] == "ready"
    line.close()
    assert 3072 < max(line.records) <= 4096


@pytest.mark.parametrize("interpreter", _INTERPRETERS)
def test_what_nginx_says_of_connections_is_believed(server, interpreter):
    # Rows 52 and 54: it closes behind the manifest, saying so or not.
    for name in ("alone", "single", "short"):
        server.add(name)
    assert set(server.play(interpreter).values()) == {"ready"}
    for name in ("alone", "single"):
        done = server.log(name)
        assert [status for _, status, _ in done] == [200, 200]
        assert done[0][0] != done[1][0]


@pytest.mark.parametrize("interpreter", _INTERPRETERS)
def test_answers_of_nginx(server, interpreter, pki):
    # Rows 13, 23, 36 to 40, 42 to 45, 55, 77 and 81.
    for name in ("moved", "there", "chunks"):
        server.add(name)
    server.add("address", f"https://127.0.0.1:{server.port}")
    server.add("to_https", server.clean.removesuffix("/manifest"))
    server.refused("round", "redirect")
    server.refused("down", "downgrade")
    server.refused("elsewhere", "url")
    server.refused("busy", "status", 503, 1, waits=2000)
    again = (500, 502, 504)
    once = (204, 401, 403, 404, 407, 410)
    for code in again + once:
        server.refused(f"status{code}", "status", code)
    server.refused("gone_package", "status", 404)
    slow = {"rate": 2000, "rate_ms": 300}
    server.refused("drip", "slow", waits=300, **slow)
    server.refused("drip_package", "slow", waits=300, **slow)
    server.refused("other", "tls", tls={"ca": str(pki.other_ca)})
    server.refused("name", ("tls", "connect"), url=f"https://127.0.0.2:{server.port}")
    server.play(interpreter)
    assert len(server.log("busy")) == 3
    for code in again + once:
        assert len(server.log(f"status{code}")) == (
            3 if code in again else 2 if code in (403, 404) else 1
        )
    assert [status for _, status, _ in server.log("gone_package")] == [200, 404, 404]
    assert [status for _, status, _ in server.log("round")] == [302] * 6
    assert not server.log("other") and not server.log("name")


@pytest.mark.parametrize("interpreter", _INTERPRETERS)
@pytest.mark.parametrize("strategy", ["ab", "pingpong"])
def test_files_that_are_wrong(server, interpreter, strategy):
    # Rows 15, 16, 59, 60, 63, 64, 72 and 80.
    half = SIZE // 2
    flipped = PACKAGE[:half] + bytes([PACKAGE[half] ^ 1]) + PACKAGE[half + 1 :]
    for name, package, word, written in (
        ("less", PACKAGE[:-1], "length", None),
        ("more", PACKAGE + b"x", "length", None),
        ("no package", b"", "length", None),
        ("flipped", flipped, ("chain", "chunk"), SOME),
    ):
        server.place(name.replace(" ", "_"), package, PACKAGE)
        server.refused(name.replace(" ", "_"), word, strategy=strategy, written=written)
    for name, data, word in (
        ("portal", b"<html><title>Sign in</title></html>", "manifest"),
        ("empty", b"", "manifest"),
        ("long", b"{" * 8193, "size"),
    ):
        (server.place(name) / "manifest.ota").write_bytes(data)
        server.refused(name, word, strategy=strategy)
    server.place("key", keys=(OTHER_KEY,))
    server.refused("key", "key", strategy=strategy)
    urls = [f"{server.url}/case/{name}/manifest.ota" for name in ("portal", "flipped", "mirror")]
    server.add("mirror", urls, strategy, Fault(0, "mirror", written=MORE))
    server.play(interpreter)
    assert len(server.log("portal")) == 2 and len(server.log("mirror")) == 2


@pytest.mark.parametrize("interpreter", _INTERPRETERS)
@pytest.mark.parametrize("strategy", ["ab", "pingpong"])
def test_files_that_change_and_lines_that_fall_silent(server, interpreter, strategy):
    # Rows 12, 29 and 32; 12000 bytes from there end within the package.
    for name in ("silent", "no_ranges", "change"):
        server.place(name, LONG)
    written = ALL if strategy == "ab" else staged(LONG)
    silent = _Line(server.port, 12000, 1, silent=True)
    server.add("silent", f"https://localhost:{silent.port}", strategy,
               Fault(0, "silent", written=written, waits=500), idle_ms=500)  # fmt: skip
    whole = _Line(server.port, 12000, 1)
    server.add("no_ranges", f"https://localhost:{whole.port}", strategy,
               Fault(0, "no ranges", written=written))  # fmt: skip
    changing = _Line(server.port, 12000, 1, then=lambda: server.place("change", sequence=6))
    server.add("change", f"https://localhost:{changing.port}", strategy,
               Fault(0, "change", written=MORE))  # fmt: skip
    try:
        server.play(interpreter)
    finally:
        for line in (silent, whole, changing):
            line.close()
    assert [status for _, status, _ in server.log("silent")] == [200, 200, 206]
    assert [status for _, status, _ in server.log("no_ranges")] == [200, 200, 200]
    # The second 200 is the answer to a Range of a file that is there no more.
    assert [status for _, status, _ in server.log("change")] == [200] * 5


@pytest.mark.parametrize("interpreter", _INTERPRETERS)
@pytest.mark.parametrize("strategy", ["ab", "pingpong"])
def test_ranges_that_nginx_takes_or_refuses(server, interpreter, strategy):
    # Rows 33 and 35. A strong tag would say of the exchanged files that they are others.
    half = len(LONG) // 2
    flipped = LONG[:half] + bytes([LONG[half] ^ 1]) + LONG[half + 1 :]
    lines = []
    once = ALL if strategy == "ab" else staged(LONG)
    for name, after, words, written in (
        ("weak", LONG, (), once),
        ("weak_other", flipped, (("chain", "chunk"),), MORE),
        ("refuses", None, (), once),
        ("shrinks", LONG[:9], ("length",), MORE),
    ):
        folder = server.place(name, LONG)
        then = after and partial((folder / "p.ota").write_bytes, after)
        line = _Line(server.port, 12000, 1, then=then)
        lines.append(line)
        server.add(name, f"https://localhost:{line.port}", strategy,
                   Fault(0, name, words, written=written))  # fmt: skip
    try:
        server.play(interpreter)
    finally:
        for line in lines:
            line.close()
    for name in ("weak", "weak_other"):
        # With If-Range, nginx would have sent the whole.
        assert [status for _, status, _ in server.log(name)] == [200, 200, 206]
    for name in ("refuses", "shrinks"):
        assert [status for _, status, _ in server.log(name)] == [200, 200, 416, 200]


@pytest.mark.parametrize("interpreter", _INTERPRETERS)
def test_a_token_stays_with_its_server(server, interpreter):
    # Row 41: to the same nginx by another name; it refuses whoever brings the token there.
    server.place("open")
    server.add("secret", headers={"Authorization": "Bearer x"})
    server.refused("open", "status", 403, headers={"Authorization": "Bearer x"})
    server.play(interpreter)
    assert [status for _, status, _ in server.log("secret")] == [302, 302]


@pytest.mark.parametrize("interpreter", _INTERPRETERS)
@pytest.mark.parametrize("strategy", ["ab", "pingpong"])
def test_a_line_that_is_cut(server, interpreter, strategy):
    # Rows 7 to 10 and 57: in the handshake, in the manifest, in the package, at its end.
    lines = []
    for after in (0, 300, 2000, 4000, 5000, 6000):
        line = _Line(server.port, after, 2)
        lines.append(line)
        server.add(f"cut{after}", f"https://localhost:{line.port}", strategy)
    try:
        assert set(server.play(interpreter).values()) == {"ready"}
    finally:
        for line in lines:
            line.close()
    assert 206 in [status for _, status, _ in server.log("cut6000")]
