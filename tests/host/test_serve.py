"""The development server: ranges, entity tags, what it hides, faults, TLS."""

import hashlib
import http.client
import socket
import ssl
import subprocess
import sys
import threading

import certificates
import pytest
from otatool.errors import ToolError
from otatool.release import serve

DATA = bytes(range(256)) * 100
ETAG = '"' + hashlib.sha256(DATA).hexdigest()[:32] + '"'


@pytest.fixture
def folder(tmp_path):
    www = tmp_path / "www"
    (www / "packages").mkdir(parents=True)
    (www / ".history").mkdir()
    (www / "manifest.ota").write_bytes(b"{}")
    (www / "packages" / "a b.ota").write_bytes(DATA)
    (www / "empty").write_bytes(b"")
    (www / ".history" / "image").write_bytes(b"hidden")
    (tmp_path / "outside").write_bytes(b"outside")
    (www / "link").symlink_to(tmp_path / "outside")
    return www


@pytest.fixture
def server(folder):
    with serve.start(folder) as s:
        yield s


def ask(server, path, method="GET", context=None, **fields):
    """(status, header fields, body)."""
    kind = http.client.HTTPSConnection if context else http.client.HTTPConnection
    options = {"context": context} if context else {}
    connection = kind("localhost" if context else "127.0.0.1", server.port, timeout=5, **options)
    try:
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


PACKAGE = "/packages/a%20b.ota"


def test_a_file_comes_whole_with_its_digest_as_tag(server):
    status, fields, body = ask(server, PACKAGE)
    assert (status, body) == (200, DATA)
    assert (fields["ETag"], fields["Content-Length"]) == (ETAG, str(len(DATA)))
    assert fields["Accept-Ranges"] == "bytes"
    assert server.url == f"http://127.0.0.1:{server.port}/"


def test_head_tells_the_same_without_a_body(server):
    whole = ask(server, PACKAGE)[1]
    status, fields, body = ask(server, PACKAGE, "HEAD")
    assert (status, body) == (200, b"")
    for name in ("ETag", "Content-Length", "Cache-Control", "Accept-Ranges"):
        assert fields[name] == whole[name]


def test_packages_never_change_and_the_manifest_may(server):
    assert "immutable" in ask(server, PACKAGE)[1]["Cache-Control"]
    assert ask(server, "/manifest.ota")[1]["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    "asked, first, last",
    [
        ("bytes=0-", 0, 25599),
        ("bytes=100-", 100, 25599),
        ("bytes=100-100", 100, 100),
        ("bytes=100-99999", 100, 25599),
        ("bytes=-10", 25590, 25599),
        ("bytes=-99999", 0, 25599),
    ],
)
def test_a_range_comes_as_a_part(server, asked, first, last):
    status, fields, body = ask(server, PACKAGE, Range=asked)
    assert (status, body) == (206, DATA[first : last + 1])
    assert fields["Content-Range"] == f"bytes {first}-{last}/{len(DATA)}"
    assert fields["ETag"] == ETAG


@pytest.mark.parametrize("asked", ["bytes=25600-", "bytes=99999-", "bytes=-0"])
def test_a_range_behind_the_end_is_not_satisfiable(server, asked):
    status, fields, body = ask(server, PACKAGE, Range=asked)
    assert (status, body, fields["Content-Range"]) == (416, b"", f"bytes */{len(DATA)}")


@pytest.mark.parametrize(
    "asked", ["bytes=5-1", "bytes=-", "bytes=0-1,5-6", "items=0-1", "bytes=+1-2", "x", "bytes=٣-"]
)
def test_other_ranges_get_the_whole_file(asked):
    assert serve.byte_range(asked, 100) is None


def test_no_range_lies_in_an_empty_file():
    assert serve.byte_range("bytes=0-", 0) == ()
    assert serve.byte_range("bytes=-5", 0) == ()


def test_if_range_lets_only_the_same_file_be_continued(server, folder):
    assert ask(server, PACKAGE, Range="bytes=9-", If_Range=ETAG)[0] == 206
    for other in ('"other"', "W/" + ETAG, "Wed, 21 Oct 2015 07:28:00 GMT"):
        status, _, body = ask(server, PACKAGE, Range="bytes=9-", If_Range=other)
        assert (status, body) == (200, DATA)
    (folder / "packages" / "new").write_bytes(DATA[::-1])
    (folder / "packages" / "new").replace(folder / "packages" / "a b.ota")
    status, fields, body = ask(server, PACKAGE, Range="bytes=9-", If_Range=ETAG)
    assert (status, body) == (200, DATA[::-1])
    assert fields["ETag"] != ETAG


def test_if_none_match_saves_the_body(server):
    status, _, body = ask(server, PACKAGE, If_None_Match='"x", ' + ETAG)
    assert (status, body) == (304, b"")
    assert ask(server, PACKAGE, If_None_Match='"x"')[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/packages",
        "/packages/",
        "/nothing",
        "/.history/image",
        "/%2e%2e/outside",
        "/../outside",
        "/packages/../../outside",
        "/packages/..%2f..%2foutside",
        "/packages/..%5coutside",
        "//etc/passwd",
        "/link",
        "/manifest.ota%00",
        "/%ff",
        "/manifest.ota/",
    ],
)
def test_only_published_files_are_served(server, path):
    status, _, body = ask(server, path)
    assert (status, body) == (404, b"")


def test_an_empty_file_is_a_file(server):
    assert ask(server, "/empty")[::2] == (200, b"")


def test_requests_are_remembered_and_logged(folder):
    lines = []
    done = threading.Semaphore(0)

    def log(request):
        lines.append(str(request))
        done.release()

    with serve.start(folder, log=log) as server:
        # Each request is logged by a thread of its own, after its answer is out.
        ask(server, PACKAGE, Range="bytes=25000-")
        assert done.acquire(timeout=5)
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as s:
            s.sendall(b"GET /nothing?\x1b[2J HTTP/1.0\r\n\r\n")
            assert s.recv(100).startswith(b"HTTP/1.1 404")
        assert done.acquire(timeout=5)
        first, second = server.requests
        assert (first.path, first.range, first.status, first.sent) == (
            PACKAGE, "bytes=25000-", 206, 600,
        )  # fmt: skip
        assert server.sent == 600
    assert lines == [
        f"206 GET {PACKAGE} bytes=25000-: 600 bytes",
        r"404 GET /nothing?\x1b[2J: 0 bytes",
    ]


def test_bodies_break_off_where_they_are_told_to(folder):
    with serve.start(folder, drop_after=1000) as server:
        got = b""
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as s:
            s.sendall(f"GET {PACKAGE} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
            with pytest.raises(ConnectionResetError):
                while data := s.recv(4096):
                    got += data
        head, _, body = got.partition(b"\r\n\r\n")
        assert b"Content-Length: 25600" in head
        assert body == DATA[:1000]
        assert server.requests[0].dropped
        assert ask(server, "/manifest.ota")[2] == b"{}"  # shorter than that
        assert not server.requests[1].dropped


def test_idle_connections_and_their_threads_are_bounded(folder):
    before = threading.active_count()
    with serve.start(folder, connections=8) as server:
        address = ("127.0.0.1", server.port)
        busy = socket.create_connection(address, timeout=5)
        busy.sendall(b"GET /manifest.ota HTTP/1.1\r\nHost: h\r\n\r\n")
        assert busy.recv(100)
        idle = [socket.create_connection(address, timeout=5) for _ in range(60)]
        # Still served, and in the end there are no more threads than connections.
        assert ask(server, "/manifest.ota")[2] == b"{}"
        closed = [s for s in (busy, *idle[:40]) if not _rest(s)]
        assert len(closed) == 41
        assert threading.active_count() <= before + 1 + 8 + 1
        for s in (busy, *idle):
            s.close()


def _rest(s):
    """What comes until the server closes."""
    got = b""
    while data := s.recv(4096):
        got += data
    return b"" if got.endswith(b"{}") else got


def test_idle_handshakes_are_bounded_too(folder, tmp_path):
    pki = certificates.make(tmp_path)
    context = ssl.create_default_context(cafile=pki.ca)
    with serve.start(folder, tls=(pki.good, pki.good), connections=4) as server:
        idle = [socket.create_connection(("127.0.0.1", server.port), timeout=5) for _ in range(9)]
        assert ask(server, PACKAGE, context=context)[2] == DATA
        assert [s.recv(1) for s in idle[:5]] == [b""] * 5
        for s in idle:
            s.close()


def test_what_answers_makes_no_room(folder):
    (folder / "large").write_bytes(bytes(32 << 20))
    with serve.start(folder, connections=1) as server:
        address = ("127.0.0.1", server.port)
        with socket.create_connection(address, timeout=5) as busy:
            busy.sendall(b"GET /large HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            got = len(busy.recv(1000))
            with socket.create_connection(address, timeout=5) as other:
                try:
                    assert other.recv(1) == b""
                except ConnectionResetError:
                    pass
            while data := busy.recv(1 << 16):
                got += len(data)
            assert got > 32 << 20


def test_what_is_remembered_is_bounded(folder, monkeypatch):
    monkeypatch.setattr(serve, "_REQUESTS", 5)
    monkeypatch.setattr(serve, "_TAGS", 2)
    done = threading.Semaphore(0)
    with serve.start(folder, log=lambda request: done.release()) as server:
        for i in range(7):
            ask(server, f"/{i}" + "x" * 30000)
            (folder / f"{i}").write_bytes(b"%d" % i)
            assert ask(server, f"/{i}")[2] == b"%d" % i
        for _ in range(14):
            assert done.acquire(timeout=5)
        assert len(server.requests) == 5
        assert max(len(r.path) for r in server.requests) <= 256
        assert server.sent == 7
        assert len(server._etags) <= 2


def test_a_slow_handshake_has_time():
    assert serve._TIMEOUT_S >= 120
    assert serve._Handler.timeout == serve._TIMEOUT_S


def test_tls(folder, tmp_path):
    pki = certificates.make(tmp_path)
    context = ssl.create_default_context(cafile=pki.ca)
    with serve.start(folder, tls=(pki.good, pki.good)) as server:
        assert server.url.startswith("https://")
        assert ask(server, PACKAGE, context=context)[2] == DATA
        with pytest.raises(ssl.SSLCertVerificationError):
            ask(server, PACKAGE, context=ssl.create_default_context())
        assert ask(server, PACKAGE, context=context)[0] == 200


def test_a_server_closes_and_frees_its_port(folder):
    server = serve.start(folder)
    server.close()
    server.close()
    serve.start(folder, server.port).close()


def test_what_cannot_be_served_is_said(folder, tmp_path, server):
    for arguments in (
        (tmp_path / "nothing",),
        (folder, server.port),
        (folder, 99999),
    ):
        with pytest.raises(ToolError):
            serve.start(*arguments)
    with pytest.raises(ToolError):
        serve.start(folder, bind="host.invalid")
    with pytest.raises(ToolError):
        serve.start(folder, tls=(tmp_path / "none", tmp_path / "none"))


def test_a_folder_that_was_never_published_is_said(folder, tmp_path):
    app = tmp_path / "app"
    app.mkdir()
    (app / "main.py").write_text("x")
    (folder / "manifest.ota").write_bytes(b'{"a": 1}\r\nsig x\r\n')
    for where, text in ((app, "is not there yet"), (folder, "CR LF")):
        command = [sys.executable, "-u", "-m", "otatool.cli", "serve", str(where), "--port", "0"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert text in process.stderr.readline()
            finally:
                process.terminate()


def test_the_command_serves_until_it_is_stopped(folder):
    command = [sys.executable, "-u", "-m", "otatool.cli", "serve", str(folder), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().strip()
            port = int(url.split(":")[2].split("/")[0])
            assert url == f"http://127.0.0.1:{port}/manifest.ota"
            with socket.create_connection(("127.0.0.1", port), timeout=5) as s:
                s.sendall(b"GET /manifest.ota HTTP/1.0\r\n\r\n")
                assert s.makefile("rb").read().endswith(b"\r\n\r\n{}")
            assert process.stdout.readline() == "200 GET /manifest.ota: 2 bytes\n"
        finally:
            process.terminate()
