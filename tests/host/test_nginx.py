"""Rows of docs/network-faults.md against a real nginx over TLS, with a chain of certificates.

The server block is the one of docs/publish.md. Whole updates, played by tests/net/update.py, on
both interpreters.
"""

import json
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

import certificates
import pytest
import scenes
import web_servers
from fault_server import FaultServer
from network_faults import CLEAN, PACKAGE, SIZE, served
from packer import content, entry, manifest, release

_UPDATE = Path(__file__).parents[1] / "net" / "update.py"
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
    location /case/chunks/ { chunked_transfer_encoding on; gzip on; gzip_types *; }
    location / {"""


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return certificates.make(tmp_path_factory.mktemp("pki"))


class _Line:
    """A line to a port that is cut, the first times, after so many bytes from there; TLS or not.

    records: length of each TLS record of application data from there.
    """

    def __init__(self, port, after=0, times=0):
        self._target, self._after, self._left = port, after, times
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
                threading.Thread(target=_pass, args=(a, b, most, seen), daemon=True).start()

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


def _pass(a, b, most, seen):
    try:
        while most != 0 and (data := a.recv(1000 if most is None else min(most, 1000))):
            seen += data
            b.sendall(data)
            if most is not None:
                most -= len(data)
    except OSError:
        pass
    for s in (a, b):
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class _Server:
    """nginx over www; play() runs cases and says what each ended with."""

    def __init__(self, folder, www, port, pki, clean):
        self.port = port
        self.url = f"https://localhost:{port}"
        self._folder, self._www, self._ca = folder, www, str(pki.ca)
        self._clean = clean
        self.cases = []

    def _place(self, name):
        folder = self._www / "case" / name
        folder.mkdir(parents=True, exist_ok=True)
        found = release("0.2", scenes.TWO, [entry("p.ota", PACKAGE)])
        (folder / "manifest.ota").write_bytes(manifest(content([found], 5)))
        (folder / "p.ota").write_bytes(PACKAGE)

    def add(self, name, url=None, strategy="ab", **http):
        self._place(name)
        self.cases.append({
            "name": name, "strategy": strategy, "clean": self._clean,
            "url": (url or self.url) + f"/case/{name}/manifest.ota",
            "http": {"tls": {"ca": self._ca}, **http},
        })  # fmt: skip

    def play(self, interpreter):
        """{name: what the update ended with}"""
        file = self._folder / "cases.json"
        file.write_text(json.dumps(self.cases))
        done = subprocess.run(
            [*_INTERPRETERS[interpreter], _UPDATE, file],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-500:] + done.stderr
        out = {}
        for result in map(json.loads, done.stdout.splitlines()):
            assert not result["open"] and result["clean"], result
            out[result["name"]] = result["error"] or result["result"]
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
def server(tmp_path, pki, records):
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
        yield _Server(tmp_path, www, port, pki, clean.url + "/manifest")


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
    # Rows 28, 37 to 39, 44, 45 and 55.
    for name in ("moved", "there", "round", "down", "busy", "chunks"):
        server.add(name)
    server.add("other", tls={"ca": str(pki.other_ca)})
    server.add("name", f"https://127.0.0.2:{server.port}")
    done = server.play(interpreter)
    assert done["moved"] == done["there"] == done["chunks"] == "ready"
    assert done["round"][0] == "redirect"
    assert done["down"][0] == "downgrade"
    assert done["busy"][:3] == ["status", 503, 1]
    assert len(server.log("busy")) == 3
    assert done["other"][0] == "tls"
    assert done["name"][0] in ("tls", "connect")


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
