"""Small fleets against real servers: what the fleet counts is what the server saw, and everyone
ends with the right package, whatever breaks on the way."""

import asyncio
import email.utils
import errno
import hashlib
import json
import os
import random
import ssl
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace

import certificates
import fleets
import images
import pytest
import web_servers
from fleets import (
    CUTS,
    FULL,
    KEYS,
    NEW,
    OLD,
    QUICK,
    SIGNING,
    Keeping,
    N,
    agree,
    complete,
    counted,
    faulty,
    roll,
)
from ota import manifest
from ota.crypto import Keys
from ota.errors import TransportError
from ota.state import record as slots
from ota.transport import head, sockets
from ota.transport import http as device_http
from ota.transport.http import Kept
from ota.transport.wire import Limits
from otatool import cli
from otatool.errors import ToolError
from otatool.fleet import names, requests, stream
from otatool.fleet.clock import Clock
from otatool.fleet.incoming import Incoming
from otatool.fleet.link import PROFILES, SEGMENT, Cut, Link, Profile
from otatool.fleet.names import Names
from otatool.fleet.network import Network
from otatool.fleet.simulate import Settings, simulate
from otatool.fleet.tally import Tally, quantile, until
from otatool.release import keys, publish, serve


@pytest.fixture(scope="module")
def www(tmp_path_factory):
    return fleets.published(tmp_path_factory.mktemp("fleet") / "www", OLD, NEW)


@pytest.fixture(scope="module")
def packages(www):
    return fleets.packages(www)


@pytest.fixture
def server(www):
    with serve.start(www) as s:
        yield s


# -- whole fleets --------------------------------------------------------------------------


def test_an_undisturbed_fleet_takes_the_patch_and_every_figure_is_the_servers(
    www, server, packages
):
    f = roll(server)
    complete(f, packages[1][1])
    agree(server, f)
    manifest = (www / publish.MANIFEST).stat().st_size
    assert (f["requests"]["package"], f["requests"]["resumed"]) == (N, 0)
    assert f["bytes"]["manifest"] == f["requests"]["manifest"] * manifest
    assert f["bytes"]["package"] == N * len(packages[1][1])
    assert f["bytes"]["manifest"] + f["bytes"]["package"] == server.sent
    assert f["bytes"]["total"] == server.sent + f["bytes"]["heads"]
    assert f["failures"] == {} and f["given_up"] == 0
    times = [f["until_s"][share] for share in ("50", "90", "99", "100")]
    assert times == sorted(times) and 0 < times[0] and times[-1] <= f["seconds"]


@pytest.mark.parametrize("strategy, number", [("ab", 0), ("ab", 1), ("inplace", 2)])
def test_links_that_break_cost_no_byte_twice_and_change_no_digest(
    server, packages, strategy, number
):
    url, package = packages[number]
    running = FULL if number == 0 else slots.Image("1", 0, len(OLD), hashlib.sha256(OLD).digest())
    # Of packages this small a link that breaks seldom would let all through.
    profile = CUTS if number == 0 else replace(CUTS, cuts_per_mb=400)
    f = roll(server, strategy=strategy, running=running, profile=profile, keys=KEYS)
    complete(f, package)
    agree(server, f)
    assert f["failures"].keys() == {"cut"}
    assert f["failures"]["cut"] > 3
    assert f["bytes"]["package"] == N * len(package)
    assert f["release"]["delta"] == (number > 0)
    if number == 0:
        assert f["requests"]["resumed"] >= N // 2


def test_bodies_that_the_server_drops_are_resumed(www, packages):
    size = len(packages[0][1])
    with serve.start(www, drop_after=size // 2 + 1) as server:
        f = roll(server, running=FULL)
        complete(f, packages[0][1])
        agree(server, f)
    assert f["requests"]["resumed"] >= N
    assert f["failures"].keys() <= {"reset", "short"}


def test_only_the_percentage_asks_for_the_package(server):
    f = roll(server, devices=50, percent=30, poll_s=100.0)
    assert 0 < f["wanted"] == f["updated"] == f["requests"]["package"] < 50
    agree(server, f)
    drawn = sum(
        manifest.takes_part(_ident(number), {"version": "2", "rollout": 3000})
        for number in range(50)
    )
    assert f["wanted"] == drawn


@pytest.mark.parametrize("running, others", [(None, 0), (FULL, 1)])
def test_a_release_for_a_share_is_what_the_run_is_about(tmp_path, running, others):
    fleets.published(tmp_path, OLD, NEW)
    release = publish.Release("rig", "3", quick=True, rollout=4000)
    publish.publish(tmp_path, images.image(3, 90_000), release, [SIGNING])
    with serve.start(tmp_path) as server:
        # The manifest tells the others of the release before, which is for those that run none.
        f = roll(server, running=running, percent=100, start_s=600.0)
        agree(server, f)
    drawn = sum(
        manifest.takes_part(_ident(n), {"version": "3", "rollout": 4000}) for n in range(N)
    )
    assert 0 < f["wanted"] == f["updated"] == drawn < N
    assert (f["release"]["version"], f["release"]["delta"]) == ("3", running is None)
    assert (f["requests"]["package"] > drawn) == bool(others)


def test_devices_that_run_the_release_have_nothing_to_do(server, tmp_path, capsys):
    (tmp_path / "new.img").write_bytes(NEW)
    words = ["fleet", server.url + publish.MANIFEST, "--devices", "3", "--spread", "0"]
    assert cli.main([*words, "--running", str(tmp_path / "new.img")]) == 1
    assert "no release was found for these devices" in capsys.readouterr().out
    assert [r.path for r in server.requests] == ["/" + publish.MANIFEST] * 3


def _ident(number, seed=0):
    return random.Random(f"{seed}/{number}/device").randbytes(8)


def test_same_seed_same_decisions(server):
    def decisions(seed):
        f = roll(server, seed=seed, percent=60, running=FULL, profile=CUTS, poll_s=6000.0)
        kinds = {k: f["requests"][k] for k in ("package", "resumed")}
        return f["wanted"], f["updated"], kinds, f["failures"], f["bytes"]["package"]

    first = decisions(1)
    assert decisions(1) == first
    assert decisions(2) != first


def test_a_manifest_that_is_known_is_asked_for_with_its_tag(server):
    # Those whose percentage it is not go on asking until the last of the others has it.
    f = roll(server, devices=20, percent=50, poll_s=5.0, start_s=5.0, spread_s=100.0)
    agree(server, f)
    # Twice those that took the release: they have restarted, and nothing is known any more.
    # And each eighth question is one without a tag: "still the same" is not signed.
    unchanged = f["requests"]["unchanged"]
    assert 20 < f["requests"]["manifest"] <= 20 + f["updated"] + unchanged // 7
    assert unchanged > 20
    server.requests.clear()
    f = roll(
        server, devices=20, percent=50, poll_s=5.0, start_s=5.0, spread_s=100.0, conditional=False
    )
    agree(server, f)
    assert f["requests"]["unchanged"] == 0
    assert f["requests"]["manifest"] > 40


# -- servers with faults -------------------------------------------------------------------


def test_a_server_without_ranges_sends_all_of_it_again(www, packages):
    with faulty(www, lambda h: False) as server:
        f = roll(server, running=FULL, profile=CUTS)
        complete(f, packages[0][1])
        assert f["requests"]["total"] == len(server.requests)
    assert f["requests"]["resumed"] > N // 2
    assert f["bytes"]["package"] > N * len(packages[0][1])


@pytest.mark.parametrize(
    "form", [str, lambda s: email.utils.formatdate(time.time() + s + 1, usegmt=True)]
)
def test_a_server_that_is_busy_is_left_alone_as_long_as_it_wants(www, packages, form):
    busy = []

    def fault(h):
        if h.path.endswith(publish.MANIFEST) and len(busy) < 2:
            busy.append(1)
            h.answer(503, Retry_After=form(50))
            return True

    with faulty(www, fault) as server:
        f = roll(server, devices=1, spread_s=0.0)
        complete(f, packages[1][1], 1)
        assert f["requests"]["total"] == len(server.requests) == 4
        gaps = [b[1] - a[1] for a, b in zip(server.requests, server.requests[1:3], strict=False)]
        assert min(gaps) >= 50 / QUICK["speed_up"]
    assert f["failures"] == {"status 503": 2}
    assert f["until_s"]["100"] >= 100


def test_a_server_that_is_always_busy_ends_the_run(www):
    def fault(h):
        h.answer(503, Retry_After="1")
        return True

    with faulty(www, fault) as server:
        f = roll(server, devices=20, poll_s=60.0, spread_s=10.0)
        assert f["requests"]["total"] == f["requests"]["manifest"] == f["failures"]["status 503"]
        assert f["requests"]["total"] == len(server.requests)
    assert (f["release"], f["wanted"], f["updated"]) == (None, 0, 0)
    assert f["until_s"]["50"] is None
    # Three tries each; when all have given up nobody knows of a release.
    assert f["given_up"] >= 20 and f["requests"]["total"] >= 3 * f["given_up"]
    assert f["requests"]["total"] < 3 * (f["given_up"] + 20)


def test_a_package_that_was_changed_is_taken_by_nobody(www, packages):
    url, package = packages[1]
    broken = package[:-1] + bytes([package[-1] ^ 1])

    def fault(h):
        if h.path == "/" + url:
            h.answer(200, Content_Length=str(len(broken)))
            h.wfile.write(broken)
            return True

    with faulty(www, fault) as server:
        f = roll(server, poll_s=60.0, spread_s=10.0, limit_s=600.0)
    assert (f["wanted"], f["updated"], f["packages"]) == (N, 0, [])
    assert f["failures"].keys() == {"chain"}
    assert f["failures"]["chain"] == f["given_up"] >= N


def test_a_package_that_is_replaced_while_it_comes_is_asked_for_by_the_manifest_of_now(
    www, packages
):
    url, package = packages[0]
    asked = []

    def fault(h):
        if h.path == "/" + url and len(asked) < 2:
            asked.append(h.headers["If-Range"])
            body = package if len(asked) > 1 else package[: len(package) // 2]
            h.answer(200, Content_Length=str(len(package)), ETag=f'"{len(asked)}"')
            h.wfile.write(body)
            return True

    with faulty(www, fault) as server:
        f = roll(server, devices=1, running=FULL, spread_s=0.0)
        complete(f, package, 1)
        names = [path.rpartition("/")[2] for path, _ in server.requests]
    assert asked == [None, '"1"']
    name = url.rpartition("/")[2]
    assert names == [publish.MANIFEST, name, name, publish.MANIFEST, name]
    assert (f["failures"], f["given_up"]) == ({"short": 1, "changed": 1}, 0)
    assert f["until_s"]["100"] < 600 * 0.9  # in the first poll


def test_a_file_that_changes_under_a_download_is_begun_again(www, packages):
    url, package = packages[0]
    tags = iter(range(1000))

    def fault(h):
        if h.path == "/" + url:
            h.answer(200, Content_Length=str(len(package)), ETag=f'"{next(tags)}"')
            h.wfile.write(package)
            return True

    profile = Profile(cuts_per_mb=30)
    with faulty(www, fault) as server:
        f = roll(server, running=FULL, profile=profile, poll_s=20.0)
        complete(f, package)
        assert f["requests"]["total"] == len(server.requests)
    assert f["failures"]["changed"] > 0
    assert f["bytes"]["package"] > N * len(package)


def test_redirects_are_requests_too(www, packages):
    def fault(h):
        if not h.path.startswith("/cdn/"):
            h.answer(302, Location="/cdn" + h.path, Content_Length="0")
            return True
        h.path = h.path[4:]

    with faulty(www, fault) as server:
        f = roll(server)
        assert f["requests"]["total"] == len(server.requests)
    assert f["updated"] == N
    # Where a manifest comes from does not change where its packages are.
    assert f["requests"]["redirect"] == f["requests"]["manifest"] + N
    assert f["connections"] == f["requests"]["total"]


def test_a_device_follows_as_many_redirects_as_its_own_client(www):
    def fault(h):
        h.answer(302, Location=h.path + "x", Content_Length="0")
        return True

    with faulty(www, fault) as server:
        f = roll(server, devices=1, limit_s=100.0)
    assert f["failures"] == {"redirect": 1}
    assert counted(f) == {"redirect": device_http.Limits.redirects + 1}


def test_without_a_server_nothing_counts_as_a_request(www):
    with serve.start(www) as server:
        url = server.url
    f = simulate(url + publish.MANIFEST, Settings(devices=3, poll_s=60, limit_s=100, spread_s=0))
    assert f["requests"]["total"] == 0
    assert f["failures"]["connect"] >= 3 and f["failures"].keys() == {"connect"}
    assert f["failures"]["connect"] >= 3 * f["given_up"] >= 9
    assert f["connections"] == f["failures"]["connect"]


def test_who_did_not_sign_is_refused(server):
    other = keys.SigningKey(bytes(32))
    f = roll(server, devices=3, keys=Keys([other.public]), limit_s=400.0)
    assert f["failures"] == {"key": 3}
    assert (f["updated"], f["requests"]["package"]) == (0, 0)


def test_nginx_logs_what_the_fleet_counts(www, packages, tmp_path):
    config = f"""
        log_format f '$status "$http_range" $uri $body_bytes_sent';
        server {{ listen 80; root "{www}"; access_log "{tmp_path}/access.log" f; }}
    """
    with web_servers.nginx(tmp_path, config) as port:
        url = f"http://127.0.0.1:{port}/{publish.MANIFEST}"
        f = simulate(url, Settings(**{**QUICK, "percent": 90.0, "running": FULL, "profile": CUTS}))
    lines = (tmp_path / "access.log").read_text().splitlines()
    kinds = Counter()
    for line in lines:
        status, asked, path, _ = line.split()
        kind = "manifest" if path.endswith(publish.MANIFEST) else "package"
        kinds["unchanged" if status == "304" else "resumed" if "=" in asked else kind] += 1
    assert dict(kinds) == counted(f)
    assert f["packages"] == [hashlib.sha256(packages[0][1]).hexdigest()]
    assert f["bytes"]["package"] == f["updated"] * len(packages[0][1])


# -- connections ---------------------------------------------------------------------------


def logged(folder):
    """Paths' last parts by connection, as nginx has written them."""
    found = {}
    for line in (folder / "access.log").read_text().splitlines():
        number, _, _, path = line.split()
        found.setdefault(number, []).append(path.rpartition("/")[2])
    return list(found.values())


@pytest.mark.parametrize("spread_s", [0.0, 60.0])
def test_an_update_is_one_connection_of_its_own(www, packages, tmp_path, spread_s):
    with web_servers.nginx(tmp_path, f'server {{ listen 80; root "{www}"; }}') as port:
        url = f"http://127.0.0.1:{port}/{publish.MANIFEST}"
        f = simulate(url, Settings(**{**QUICK, "spread_s": spread_s}))
    complete(f, packages[1][1])
    # A connection that two devices shared would carry two manifests.
    name = packages[1][0].rpartition("/")[2]
    assert logged(tmp_path) == [[publish.MANIFEST, name]] * N
    assert f["connections"] == N
    assert (f["peak_connections"] == N) == (spread_s == 0)


def test_a_connection_ends_with_its_update_also_when_there_was_nothing_to_do(www, tmp_path):
    with web_servers.nginx(tmp_path, f'server {{ listen 80; root "{www}"; }}') as port:
        url = f"http://127.0.0.1:{port}/{publish.MANIFEST}"
        settings = Settings(
            **{**QUICK, "percent": 50.0, "poll_s": 5.0, "spread_s": 100.0, "conditional": False}
        )
        f = simulate(url, settings)
    found = logged(tmp_path)
    assert len(found) == f["connections"] == f["requests"]["manifest"] > N
    assert all(paths[0] == publish.MANIFEST for paths in found)
    assert Counter(len(paths) for paths in found)[2] == f["updated"]
    assert max(len(paths) for paths in found) == 2


@pytest.mark.parametrize("says", ["keepalive_timeout 0;", "keepalive_requests 1;"])
def test_a_server_that_says_close_gets_a_connection_for_each_request(
    www, packages, tmp_path, says
):
    config = f'server {{ listen 80; root "{www}"; {says} }}'
    with web_servers.nginx(tmp_path, config) as port:
        url = f"http://127.0.0.1:{port}/{publish.MANIFEST}"
        f = simulate(url, Settings(**QUICK))
    complete(f, packages[1][1])
    assert len(logged(tmp_path)) == f["connections"] == f["requests"]["total"] == 2 * N
    assert f["failures"] == {}


def test_over_tls_an_update_is_one_handshake(www, tmp_path):
    pki = certificates.make(tmp_path)
    config = f"""
        server {{ listen 443 ssl; root "{www}";
            ssl_certificate "{pki.good}"; ssl_certificate_key "{pki.good}"; }}
    """
    out = tmp_path / "f.json"
    with web_servers.nginx(tmp_path, config) as port:
        words = ["fleet", f"https://localhost:{port}/{publish.MANIFEST}", "--devices", "5"]
        words += ["--spread", "10", "--speed-up", "10", "--json", str(out)]
        # Which CA is trusted is read once in a process.
        code = "import sys; from otatool import cli; sys.exit(cli.main(sys.argv[1:]))"
        subprocess.run(
            [sys.executable, "-c", code, *words],
            env={**os.environ, "SSL_CERT_FILE": str(pki.ca)},
            check=True,
            capture_output=True,
        )
    f = json.loads(out.read_text())
    assert (f["updated"], f["connections"], f["failures"]) == (5, 5, {})
    assert [len(paths) for paths in logged(tmp_path)] == [2] * 5


def test_a_connection_that_ends_while_nobody_uses_it_is_no_failure(www, packages):
    def fault(h):
        h.close_connection = True  # and no word about it

    with faulty(www, fault, Keeping) as server:
        f = roll(server)
        complete(f, packages[1][1])
        assert len(server.requests) == 2 * N
    assert (f["connections"], f["failures"]) == (2 * N, {})


@pytest.mark.parametrize("body", [None, b"ten bytes."])
def test_what_a_kept_connection_does_not_give_is_asked_for_on_a_new_one(www, packages, body):
    def fault(h):
        if h.count == 2:
            if body:  # of another size than the package
                h.answer(200, Content_Length=str(len(body)))
                h.wfile.write(body)
            h.close_connection = True
            return True

    with faulty(www, fault, Keeping) as server:
        f = roll(server)
        complete(f, packages[1][1])
        assert f["requests"]["total"] == len(server.requests) == 3 * N
    assert (f["connections"], f["failures"]) == (2 * N, {})
    assert f["bytes"]["package"] == N * len(packages[1][1])


def test_a_new_connection_that_gives_nothing_is_a_failure(www):
    def fault(h):
        h.close_connection = True
        return True

    with faulty(www, fault, Keeping) as server:
        f = roll(server, devices=1, spread_s=0.0, limit_s=10.0)
        assert f["requests"]["total"] == len(server.requests) == 3
    assert (f["connections"], f["failures"], f["given_up"]) == (3, {"reset": 3}, 1)


@pytest.mark.parametrize("keeps, turns", [(True, 3), (False, 4)])
def test_a_connection_is_opened_once_and_each_request_is_a_round_trip(www, tmp_path, keeps, turns):
    says = "" if keeps else "keepalive_timeout 0;"
    with web_servers.nginx(tmp_path, f'server {{ listen 80; root "{www}"; {says} }}') as port:
        url = f"http://127.0.0.1:{port}/{publish.MANIFEST}"
        slow = {"devices": 1, "spread_s": 0.0, "profile": Profile(latency_ms=4000)}
        f = simulate(url, Settings(**{**QUICK, **slow, "speed_up": 16.0}))
    # The machine may be late by half a real second.
    assert turns * 8 <= f["until_s"]["100"] < (turns + 1) * 8


class _Breaks(Link):
    """A link that breaks at a turn, counted from 1."""

    def __init__(self, at):
        self.watch = _Waits()
        super().__init__(Profile(), self.watch, random.Random(0))
        self._left = at

    async def turn(self):
        self._left -= 1
        if not self._left:
            raise Cut


def one_by_one(tally, link, *urls):
    """Whether the connection was used before, of the answers that one device gets."""

    def steps(network, kept):
        get = network.options(None, None, 0)["get"]
        found = []
        for url in urls:
            answer = yield from get(url, 0, None, link.watch.ticks, kept=kept)
            found.append(answer.reused)
            while answer.readinto(bytearray(1000)) != 0:
                yield None
        kept.close()
        return found

    async def run():
        network = Network(Names(), link, link.watch, tally)
        return await network.run(steps(network, Kept()))

    found = asyncio.run(run())
    tally.connecting()
    assert tally.peak_connections == 1  # never two, and none is left open
    return found


@pytest.mark.parametrize("at", [3, 4])
def test_a_link_that_breaks_on_a_kept_connection_is_no_failure_yet(server, packages, at):
    tally = Tally()
    urls = server.url + publish.MANIFEST, server.url + packages[1][0]
    # Turns: to connect, of the manifest, of the package. A fourth is a new connection's.
    assert one_by_one(tally, _Breaks(at), *urls) == [False, at > 3]
    assert tally.connections - 1 == (2 if at == 3 else 1)


@pytest.mark.parametrize("at", [1, 2])
def test_a_link_that_breaks_on_a_new_connection_is_a_failure(server, at):
    tally = Tally()
    with pytest.raises(Cut):
        one_by_one(tally, _Breaks(at), server.url + publish.MANIFEST)
    tally.connecting()
    assert (tally.connections, tally.peak_connections) == (2, 1)


def test_a_connection_is_not_kept_for_another_server(www, server):
    tally = Tally()
    with serve.start(www) as other:
        urls = [each.url + publish.MANIFEST for each in (server, other, other, server)]
        assert one_by_one(tally, _Breaks(0), *urls) == [False, False, True, False]
        assert [len(each.requests) for each in (server, other)] == [2, 2]


def test_a_connection_that_the_server_will_close_is_not_open_any_more(www):
    tally = Tally()
    with faulty(www, lambda h: False) as server:
        url = server.url + publish.MANIFEST
        assert one_by_one(tally, _Breaks(0), url, url) == [False, False]
    assert tally.connections - 1 == 2


def test_an_update_forgets_the_tag_as_the_restart_does(www, tmp_path):
    publish.publish(tmp_path, OLD, publish.Release("rig", "1", quick=True), [SIGNING])
    older = (tmp_path / publish.MANIFEST).read_bytes()
    asked = []

    def fault(h):
        if h.path == "/" + publish.MANIFEST:
            tag = h.headers["If-None-Match"]
            asked.append(tag)
            new = len(asked) > 3
            if tag == f'"{new}"':
                h.answer(304, ETag=tag)
            else:
                body = (www / publish.MANIFEST).read_bytes() if new else older
                h.answer(200, Content_Length=str(len(body)), ETag=f'"{new}"')
                h.wfile.write(body)
            return True

    def first(seed, number):
        own = random.Random(f"{seed}/{number}/device")
        own.randbytes(8)
        return own.random()

    # The other device keeps the run going until it asks for the first time.
    seed = next(seed for seed in range(1000) if first(seed, 0) < 0.1 and first(seed, 1) > 0.8)
    running = slots.Image("1", 0, len(OLD), hashlib.sha256(OLD).digest())
    with faulty(www, fault) as server:
        settings = {
            "devices": 2,
            "seed": seed,
            "poll_s": 50.0,
            "start_s": 50.0,
            "spread_s": 1000.0,
        }
        f = roll(server, **settings, running=running, speed_up=300.0)
    assert f["updated"] == 2
    # Nothing, still nothing twice, the release; restarted: nothing, still nothing.
    assert asked[:6] == [None, '"False"', '"False"', '"False"', None, '"True"']


def test_names_are_looked_up_once_for_all(server, packages, monkeypatch):
    asked = []
    look_up = names._look_up

    async def counted(host, port):
        asked.append(host)
        return await look_up(host, port)

    monkeypatch.setattr(names, "_look_up", counted)
    url = f"http://localhost:{server.port}/{publish.MANIFEST}"
    f = simulate(url, Settings(**{**QUICK, "spread_s": 0.0}))
    complete(f, packages[1][1])
    assert asked == ["localhost"]


# -- parts ---------------------------------------------------------------------------------


def test_the_device_and_the_fleet_try_the_same_again():
    followed = [n for n in range(200, 600) if head.Head(n).moved]
    assert list(requests.REDIRECTED) == followed
    assert stream._ADDRESSES == sockets._ADDRESSES


def opened(connect, *, context=None):
    """What check() raises after a connection was opened by such a create_connection()."""

    async def run():
        loop = asyncio.get_running_loop()
        loop.create_connection = connect
        s = stream.Stream(("127.0.0.1", 9, context), _Breaks(0), Tally(), None, lambda: 0, None)
        await s.open(Names(), Limits(connect_ms=50, handshake_ms=50))
        s.close()
        with pytest.raises(TransportError) as e:
            s.check()
        return e.value.args[0]

    return asyncio.run(run())


@pytest.mark.parametrize(
    "error, plain, tls",
    [
        (ConnectionRefusedError(), "connect", "connect"),
        (ConnectionResetError(), "connect", "reset"),
        (ConnectionAbortedError(), "connect", "reset"),
        (OSError(errno.EHOSTUNREACH, "no way"), "connect", "connect"),
        (ssl.SSLCertVerificationError(), "tls", "tls"),
    ],
)
def test_errors_have_the_words_of_the_devices_own_sockets(error, plain, tls):
    async def connect(*args, **more):
        raise error

    assert opened(connect) == plain
    assert opened(connect, context=ssl.create_default_context()) == tls


def test_a_connection_that_nobody_answers_is_given_up():
    assert opened(lambda *args, **more: asyncio.sleep(60)) == "connect"


def test_a_machine_without_connections_to_give_is_not_the_servers_failure():
    async def connect(*args, **more):
        raise OSError(errno.EADDRNOTAVAIL, "no address")

    with pytest.raises(ToolError, match="no more connections"):
        opened(connect)


class _Waits:
    """A clock on which waiting takes no time."""

    grain = 0.01

    def __init__(self):
        self.seconds = 0.0

    def now(self):
        return self.seconds

    def ticks(self):
        return int(1000 * self.seconds)

    async def sleep(self, seconds):
        self.seconds += seconds


def carried(profile, length, seed=0):
    """(seconds, cuts) of so many bytes in one connection after the other."""
    clock = _Waits()
    way = Link(profile, clock, random.Random(seed))

    async def run():
        left, cuts = length, 0
        while left:
            try:
                await way.connect()
                while left:
                    n = min(left, way.room())
                    await way.carry(n)
                    left -= n
                await way.settle()
            except Cut:
                cuts += 1
        return cuts

    cuts = asyncio.run(run())
    return clock.seconds, cuts


def test_a_link_takes_its_latency_and_its_rate():
    assert carried(Profile(), 10**6) == (0.0, 0)
    seconds, cuts = carried(Profile(latency_ms=100, rate=50_000), 10**6)
    assert (round(seconds, 6), cuts) == (20.2, 0)


def test_bytes_that_nobody_waited_for_are_waited_for_at_the_next_turn():
    clock = _Waits()
    clock.grain = 100.0
    way = Link(Profile(latency_ms=500, rate=1000), clock, random.Random(0))

    async def run():
        await way.connect()
        await way.carry(1000)
        assert clock.seconds == 1
        await way.turn()

    asyncio.run(run())
    assert clock.seconds == 3


@pytest.mark.parametrize("told", [True, False])
def test_the_last_bytes_of_a_body_take_their_time(www, told):
    link = _Breaks(0)
    link.watch.grain = 100.0
    link._profile = Profile(rate=1000)
    size = (www / publish.MANIFEST).stat().st_size

    def fault(h):
        if not told:
            h.answer(200)
            h.wfile.write((www / publish.MANIFEST).read_bytes())
            return True

    with faulty(www, fault) as server:
        one_by_one(Tally(), link, server.url + publish.MANIFEST)
    assert round(link.watch.seconds, 6) == size / 1000


def test_a_server_waits_while_a_device_takes_nothing():
    class Transport:
        reads = True

        def pause_reading(self):
            self.reads = False

        def resume_reading(self):
            self.reads = True

    transport, coming = Transport(), Incoming()
    coming.connection_made(transport)
    coming.data_received(bytes(65_535))
    assert transport.reads
    coming.data_received(b"1")
    assert not transport.reads
    assert coming.take(1) == b"\0" and transport.reads


def test_what_cannot_be_sent_any_more_is_no_request():
    tally, watch = Tally(), _Waits()
    network = Network(Names(), _Breaks(0), watch, tally)
    place = "127.0.0.1", 9, None
    s = stream.Stream(place, _Breaks(0), tally, network.requests, watch.ticks, None)
    s._transport, s._in.ended = asyncio.Transport(), True
    with pytest.raises(TransportError) as e:
        s.write(b"GET / HTTP/1.1\r\n\r\n")
    assert e.value.reason == "reset" and tally.requests.total() == 0


def test_a_lost_segment_costs_a_round_trip_and_more():
    segments = 20_000
    seconds, _ = carried(Profile(latency_ms=100, loss=0.01), segments * SEGMENT)
    # 1 % of them once more after 0.4 s, 1 % of these after another 0.8 s, and so on.
    expected = 0.2 + segments * (0.01 * 0.4 + 0.0001 * 0.8 + 0.000001 * 1.6)
    assert abs(seconds - expected) < 0.25 * expected


def test_a_link_breaks_as_often_as_it_says():
    _, cuts = carried(Profile(cuts_per_mb=200), 5 * 10**6)
    assert abs(cuts - 1000) < 150
    seconds, cuts = carried(Profile(rate=1000, cuts_per_hour=600), 5 * 10**6)
    assert abs(cuts - seconds / 6) < 150
    # Each time some of a segment was under way for nothing.
    assert 5000 < seconds < 5000 + 2 * cuts


def test_a_break_comes_at_the_same_bytes_for_the_same_seed():
    profile = Profile(loss=0.05, cuts_per_mb=50)
    assert carried(profile, 10**6, 3) == carried(profile, 10**6, 3)
    assert carried(profile, 10**6, 3) != carried(profile, 10**6, 4)


def test_the_clock_shortens_waits_and_tells_how_late_they_were():
    clock = Clock(100)
    began = time.monotonic()
    asyncio.run(clock.sleep(10))
    assert 0.1 <= time.monotonic() - began < 5
    assert clock.now() >= 10 and len(clock.late) == 1 and clock.late[0] >= 0


def test_shares_are_counted_of_all_who_should_have_it():
    assert until(range(1, 101), 100) == {"50": 50, "90": 90, "99": 99, "100": 100}
    assert until([3, 1, 2], 4) == {"50": 2, "90": None, "99": None, "100": None}
    assert until([], 0) == {"50": None, "90": None, "99": None, "100": None}
    assert (quantile([], 0.5), quantile([1, 2, 3], 0.5), quantile([1, 2], 0.99)) == (0, 2, 2)


# -- the command ---------------------------------------------------------------------------


def test_the_command_prints_and_writes_its_figures(server, packages, tmp_path, capsys):
    out, pub = tmp_path / "f.json", tmp_path / "rig.pub.json"
    pub.write_bytes(SIGNING.public_file())
    (tmp_path / "old.img").write_bytes(OLD)
    words = ["fleet", server.url + publish.MANIFEST, "--devices", "20", "--spread", "30"]
    words += ["--speed-up", "100", "--profile", "wifi", "--loss", "1", "--bandwidth", "800"]
    words += ["--key", str(pub), "--running", str(tmp_path / "old.img"), "--json", str(out)]
    assert cli.main(words) == 0
    printed = capsys.readouterr().out
    f = json.loads(out.read_text())
    agree(server, f)
    complete(f, packages[1][1], 20)
    assert f["profile"] == {
        **vars(PROFILES["wifi"]),
        "loss": 0.01,
        "rate": 100_000,
    }
    assert f["signature_checked"] and "not checked" not in printed
    for text in ("100 % after", f"{f['bytes']['total']:,}", f"{len(packages[1][1]):,} bytes"):
        assert text in printed


def test_the_command_says_who_did_not_get_it(www, tmp_path, capsys):
    with faulty(www, lambda h: h.answer(404) or True) as server:
        words = ["fleet", server.url, "--devices", "2", "--spread", "0", "--limit", "30"]
        assert cli.main(words) == 1
    printed = capsys.readouterr().out
    assert "no release was found" in printed and "status 404" in printed


def test_the_command_says_when_the_machine_was_too_slow(server, capsys):
    words = ["fleet", server.url + publish.MANIFEST, "--devices", "3", "--speed-up", "100000"]
    assert cli.main(words) == 0
    assert "this machine was late" in capsys.readouterr().out


@pytest.mark.parametrize(
    "option, value",
    [
        ("--devices", "0"),
        ("--percent", "101"),
        ("--percent", "nan"),
        ("--poll", "0"),
        ("--spread", "-1"),
        ("--limit", "-1"),
        ("--speed-up", "nan"),
        ("--loss", "100"),
        ("--latency", "-1"),
        ("--bandwidth", "nan"),
        ("--cuts-per-mb", "inf"),
        ("--key", "no such file"),
    ],
)
def test_settings_that_make_no_sense_are_refused(option, value, capsys):
    assert cli.main(["fleet", "http://127.0.0.1:9/", option, value]) == 1
    said = "no such file" if option == "--key" else option.strip("-").split("-")[0]
    assert f"otatool fleet: {said}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "url", ["manifest.ota", "127.0.0.1:8000/m", "ftp://127.0.0.1/m", "http://a b/", ""]
)
def test_what_is_no_address_is_refused(url, capsys):
    assert cli.main(["fleet", url]) == 1
    assert f"{url}: not an http or https URL" in capsys.readouterr().err
