"""What a simulated device asks is what a real one asks: limits, mirrors, parts, resuming."""

import asyncio
import contextlib
import hashlib
import random
import socket
import time
from collections import Counter

import fleets
import ota
import pytest
from fleets import FULL, NEW, OLD, Keeping, N, complete, counted, faulty, roll
from images import image
from ota import update
from ota.errors import TransportError
from ota.source import mirrors
from ota.state import record as slots
from ota.transport.resume import Resuming
from otatool.fleet import names
from otatool.fleet.link import Cut, Link, Profile
from otatool.fleet.names import Names
from otatool.fleet.network import Network
from otatool.fleet.tally import Tally
from otatool.release import publish, serve
from rig import Rig

SIZE = 90_000
NOISE = random.Random(0).randbytes(SIZE)  # of many chunks, and a restart point within
RUNS = slots.Image("", 0, SIZE, hashlib.sha256(image(1, SIZE)).digest())
ALONE = {"devices": 1, "spread_s": 0.0}


@pytest.fixture(scope="module")
def www(tmp_path_factory):
    """A release with patches."""
    return fleets.published(tmp_path_factory.mktemp("fleet") / "www", OLD, NEW)


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """A release of one long package."""
    return fleets.published(tmp_path_factory.mktemp("fleet") / "www", NOISE)


def name_of(www, number=0):
    """(last part of the path, bytes) of a package."""
    url, data = fleets.packages(www)[number]
    return url.rpartition("/")[2], data


# -- side by side with a device ------------------------------------------------------------


def asks(h):
    """What a request asks for, without what differs from run to run."""
    port = h.server.server_address[1]
    return port, h.path, h.headers["Range"], h.headers["If-Range"], h.headers["Connection"]


def noting(fault, notes):
    """A fault that notes what is asked first."""

    def noted(h):
        notes.append(asks(h))
        return fault(h)

    return noted


def both(www, faults, strategy="ab", **options):
    """Notes of a real device that updates from servers with these faults, and of a fleet of one;
    as often as they are called, faults() makes them anew."""
    found = []
    for simulated in (False, True):
        notes = []
        with contextlib.ExitStack() as stack:
            made = [stack.enter_context(faulty(www, noting(f, notes), Keeping)) for f in faults()]
            if simulated:
                f = roll(
                    made, **ALONE, running=RUNS, strategy=strategy, keys=fleets.KEYS, **options
                )
                assert (f["updated"], f["requests"]["total"]) == (1, len(notes))
            else:
                rig = Rig(strategy, SIZE)
                rig.config["version"] = "0"
                rig.boot()
                urls = [s.url + publish.MANIFEST for s in made]
                steps = ota.steps(urls if len(urls) > 1 else urls[0], pause_ms=1, **options)
                assert update.drive(steps)["result"] == "ready"
            ports = [s.server_address[1] for s in made]
            found.append([(ports.index(note[0]), *note[1:]) for note in notes])
    return found


def ranged(h, data, tag='"t"'):
    """Answer a request for data, whole or from where it asks; gives the bytes to send."""
    asked = (h.headers["Range"] or "").removeprefix("bytes=")
    first, _, last = asked.partition("-")
    start, end = int(first or 0), min(int(last or len(data)), len(data) - 1) + 1
    fields = {"Content_Length": str(end - start), "ETag": tag}
    if asked:
        fields["Content_Range"] = f"bytes {start}-{end - 1}/{len(data)}"
    h.answer(206 if asked else 200, **fields)
    return data[start:end]


def good(h):
    """Not a fault: Python's server has no ranges, here is one that has."""
    path = h.directory + h.path
    with open(path, "rb") as f:
        h.wfile.write(ranged(h, f.read()))
    return True


def lying(name, at):
    """A mirror that changes one byte of the package of that name."""

    def fault(h):
        if not h.path.endswith(name):
            return good(h)
        with open(h.directory + h.path, "rb") as f:
            data = bytearray(f.read())
        data[at] ^= 1
        h.wfile.write(ranged(h, bytes(data)))
        return True

    return fault


@pytest.mark.parametrize("strategy", ["ab", "pingpong", "inplace"])
@pytest.mark.parametrize("part", [0, 3000])
def test_an_update_is_asked_for_as_by_a_device(www, long, strategy, part):
    for folder in (www, long):
        real, simulated = both(folder, lambda: [good], strategy, part=part)
        assert simulated == real
        assert len(real) == 2 if not part else len(real) > 1


@pytest.mark.parametrize("strategy, from_start", [("ab", 65536), ("pingpong", 4096)])
@pytest.mark.parametrize("at", [200, 20_000, 80_000, -1])
def test_what_a_lying_mirror_gave_well_is_kept_as_by_a_device(long, strategy, from_start, at):
    name, package = name_of(long)
    real, simulated = both(long, lambda: [lying(name, at), good], strategy)
    assert simulated == real
    assert [note[0] for note in real][:3] == [0, 0, 1]
    # A second mirror is asked for the head, and then for what is not in flash.
    again = [note[2] for note in real if note[2]]
    assert len(again) == (at % len(package) > from_start + 8500)


@pytest.mark.parametrize("strategy", ["ab", "pingpong"])
@pytest.mark.parametrize("at", [22_000, 24_700, 70_000])
def test_what_a_mirror_gave_that_breaks_off_is_kept_as_by_a_device(long, strategy, at):
    def ends(h):
        if not h.path.endswith(".ota") or h.path.endswith(publish.MANIFEST):
            return good(h)
        with open(h.directory + h.path, "rb") as f:
            data = ranged(h, f.read())
        start = int((h.headers["Range"] or "bytes=0").removeprefix("bytes=").partition("-")[0])
        h.wfile.write(data[: max(0, at - start)])
        h.close_connection = True
        return True

    real, simulated = both(long, lambda: [ends, good], strategy)
    assert simulated == real
    # Manifest and nine tries, and one without a Range; of the other manifest and package, in two
    # requests if something of it was kept.
    kept = strategy == "pingpong" or at == 70_000
    assert [note[0] for note in real] == [0] * 11 + [1] * (2 + kept)
    assert (real[-1][2] is not None) == kept


def test_of_a_package_with_a_way_back_as_much_is_kept_as_by_a_device(www):
    name, package = name_of(www, 2)
    real, simulated = both(www, lambda: [lying(name, -1), good], "inplace")
    assert simulated == real
    assert real[-1][2] is not None


def test_a_break_is_resumed_as_by_a_device(long):
    def faults():
        left = [1000, 30_000, 0, 70_000]

        def fault(h):
            if left and h.path.endswith(".ota") and publish.MANIFEST not in h.path:
                with open(h.directory + h.path, "rb") as f:
                    h.wfile.write(ranged(h, f.read())[: left.pop(0)])
                h.close_connection = True
                return True
            return good(h)

        return [fault]

    real, simulated = both(long, faults)
    assert simulated == real
    assert [note[2] for note in real if note[2]] == [
        f"bytes={at}-" for at in (1000, 31_000, 31_000)
    ]


# -- mirrors -------------------------------------------------------------------------------


def test_a_mirror_that_is_away_is_asked_once_by_each_device(www):
    with serve.start(www) as gone:
        pass
    with serve.start(www) as server:
        f = roll([gone, server])
        complete(f, fleets.packages(www)[1][1])
        assert f["servers"] == {f"127.0.0.1:{server.port}": len(server.requests)}
    # Those that polled once more asked it again.
    assert f["failures"] == {"connect": f["requests"]["manifest"]}
    assert f["connections"] == 2 * f["requests"]["manifest"]
    assert f["given_up"] == 0


def test_devices_spread_over_mirrors_as_their_ids_say(www):
    def firsts(f):
        ids = [random.Random(f"0/{n}/device").randbytes(8) for n in range(N)]
        return Counter(mirrors.sources(urls, {}, each)[0]._url for each in ids)

    with serve.start(www) as one, serve.start(www) as two:
        urls = [s.url + publish.MANIFEST for s in (one, two)]
        f = roll([one, two], spread_mirrors=True, poll_s=1e5)
        seen = {s.url + publish.MANIFEST: len(s.requests) // 2 for s in (one, two)}
        assert seen == firsts(f) and min(seen.values()) > 5
        assert f["servers"] == {f"127.0.0.1:{s.port}": len(s.requests) for s in (one, two)}
        one.requests.clear()
        f = roll([one, two], poll_s=1e5)
        assert f["servers"] == {f"127.0.0.1:{one.port}": len(one.requests)}
        assert len(one.requests) == 2 * N


def test_mirrors_that_all_fail_are_left_until_the_next_poll(www):
    def busy(h):
        h.answer(503)
        return True

    with faulty(www, busy) as one, faulty(www, busy) as two:
        f = roll([one, two], **ALONE, limit_s=20.0)
        assert (len(one.requests), len(two.requests)) == (1, 1)
    assert (f["failures"], f["given_up"]) == ({"status 503": 2}, 1)


# -- parts ---------------------------------------------------------------------------------


def test_parts_come_over_one_connection_and_each_is_a_request(long):
    size, part = len(name_of(long)[1]), 3000
    with serve.start(long) as server:
        f = roll(server, running=FULL, part=part)
        complete(f, name_of(long)[1])
        assert f["requests"]["total"] == len(server.requests)
        lengths = Counter(r.sent for r in server.requests)
    assert f["requests"]["part"] == N * (-(-size // part) - 1)
    assert f["requests"]["resumed"] == 0 and f["failures"] == {}
    assert f["connections"] == f["requests"]["manifest"] and max(lengths) == part
    assert f["bytes"]["package"] == N * size


def test_a_part_costs_a_round_trip(long):
    with serve.start(long) as server:
        slow = {**ALONE, "running": FULL, "profile": Profile(latency_ms=500), "speed_up": 20.0}
        whole = roll(server, **slow)["until_s"]["100"]
        parts = roll(server, **slow, part=10_000)["until_s"]["100"]
    assert 3 <= whole < parts - 9 + 0.1


def test_a_break_within_a_part_is_a_resumed_request(long):
    with serve.start(long) as server:
        f = roll(server, running=FULL, part=20_000, profile=Profile(cuts_per_mb=30))
        complete(f, name_of(long)[1])
        assert f["requests"]["total"] == len(server.requests)
    broken = f["failures"]["cut"]
    assert 0 < f["requests"]["resumed"] <= broken
    assert f["bytes"]["package"] == N * len(name_of(long)[1])


# -- limits and ways around ----------------------------------------------------------------


@pytest.mark.parametrize("latency_ms, least, most", [(0, 9, 9), (4000, 5, 8)])
def test_a_package_that_takes_too_long_is_given_up_before_all_tries(www, latency_ms, least, most):
    # Two minutes and 5 s for 315 bytes; a failure takes two round trips of 8 s.
    def fault(h):
        if not h.path.endswith(publish.MANIFEST):
            h.answer(200, Content_Length=str(len(name_of(www, 1)[1])))
            return True

    with faulty(www, fault) as server:
        profile = Profile(latency_ms=latency_ms)
        f = roll(server, **ALONE, profile=profile, limit_s=230.0, poll_s=5000.0)
        packages = [path for path, _ in server.requests if not path.endswith(publish.MANIFEST)]
    assert least <= len(packages) <= most
    assert (f["failures"], f["given_up"]) == ({"short": len(packages)}, 1)


@pytest.mark.parametrize("number, tries", [(socket.EAI_NONAME, 3), (socket.EAI_AGAIN, 9)])
def test_a_name_that_does_not_exist_is_given_up_early(www, monkeypatch, number, tries):
    asked = []
    look_up = names._look_up

    async def some(host, port):
        if host == "127.0.0.1":
            return await look_up(host, port)
        asked.append(host)
        raise socket.gaierror(number, "no such name")

    def fault(h):
        if not h.path.endswith(publish.MANIFEST):
            h.answer(302, Location="http://packages.example/x", Content_Length="0")
            return True

    monkeypatch.setattr(names, "_look_up", some)
    with faulty(www, fault) as server:
        f = roll(server, **ALONE, limit_s=200.0, poll_s=5000.0)
    assert asked == ["packages.example"] * tries
    assert (f["failures"], f["given_up"]) == ({"dns": tries}, 1)


def test_a_range_that_is_refused_is_got_around_once(www):
    name, package = name_of(www)
    times = []

    def fault(h):
        if not h.path.endswith(name):
            return False
        times.append(h.headers["Range"])
        if h.headers["Range"]:
            h.answer(416, Content_Range=f"bytes */{len(package)}", Content_Length="0")
        else:
            h.answer(200, Content_Length=str(len(package)))
            h.wfile.write(package[: len(package) // (2 if len(times) < 2 else 1)])
        return True

    with faulty(www, fault) as server:
        f = roll(server, **ALONE, running=FULL)
        complete(f, package, 1)
        assert f["requests"]["total"] == len(server.requests)
    half = len(package) // 2
    assert times == [None, f"bytes={half}-", None]
    assert counted(f) == {"manifest": 1, "package": 2, "resumed": 1}
    assert (f["failures"], f["given_up"]) == ({"short": 1, "range": 1}, 0)
    assert f["bytes"]["package"] == half + len(package)


def test_an_answer_that_ends_too_early_without_a_word_is_a_failure_too(www):
    name, package = name_of(www)
    first = [1]

    def fault(h):
        if h.path.endswith(name) and first:
            first.pop()
            h.answer(200)  # its length is not told: it ends with the connection
            h.wfile.write(package[:5000])
            return True

    with faulty(www, fault) as server:
        f = roll(server, **ALONE, running=FULL)
        complete(f, package, 1)
        assert f["requests"]["total"] == len(server.requests) == 3
    assert f["failures"] == {"short": 1}


def test_a_manifest_that_broke_off_is_resumed(www):
    whole = (www / publish.MANIFEST).read_bytes()
    asked = []

    def fault(h):
        if not h.path.endswith(publish.MANIFEST):
            return False
        asked.append((h.headers["Range"], h.headers["If-Range"]))
        data = ranged(h, whole)
        h.wfile.write(data[:300] if len(asked) == 1 else data)
        return True

    with faulty(www, fault) as server:
        f = roll(server, **ALONE)
        complete(f, fleets.packages(www)[1][1], 1)
    assert asked == [(None, None), ("bytes=300-", '"t"')]
    assert counted(f) == {"manifest": 1, "resumed": 1, "package": 1}
    assert f["bytes"]["manifest"] == len(whole)
    assert f["failures"] == {"short": 1}


def test_a_manifest_that_has_expired_is_refused(tmp_path):
    old = fleets.published(tmp_path / "old", OLD, NEW, expires=int(time.time()) - 10)
    new = fleets.published(tmp_path / "new", OLD, NEW, expires=int(time.time()) + 1000)
    with serve.start(old) as one, serve.start(new) as two:
        f = roll(one, **ALONE, limit_s=10.0)
        assert (f["failures"], f["updated"], f["given_up"]) == ({"expired": 1}, 0, 1)
        # Another mirror may have one that is younger.
        f = roll([one, two], **ALONE)
        assert (f["failures"], f["updated"], f["given_up"]) == ({"expired": 1}, 1, 0)


def test_a_manifest_that_is_known_is_fetched_again_once_it_has_expired(tmp_path):
    expires = int(time.time()) + 3
    www = fleets.published(tmp_path, OLD, NEW, expires=expires)
    tags = []

    def fault(h):
        if h.path.endswith(publish.MANIFEST):
            tag = h.headers["If-None-Match"]
            tags.append((time.time(), tag))
            if tag:
                h.answer(304, ETag=tag)
            else:
                h.wfile.write(ranged(h, (www / publish.MANIFEST).read_bytes()))
        else:
            h.answer(404)  # the run goes on: those whom the release is for do not get it
        return True

    with faulty(www, fault) as server:
        seconds = (expires + 4 - time.time()) * fleets.QUICK["speed_up"]
        f = roll(server, devices=9, percent=40, poll_s=20.0, retry_s=20.0, limit_s=seconds)
    before = [tag for at, tag in tags if at < expires]
    after = [tag for at, tag in tags if at > expires + 2]  # asked a second before, at least
    assert before.count('"t"') > 5
    assert after and set(after) == {None}
    assert f["failures"].keys() == {"status 404", "expired"}


def test_after_a_failure_the_next_poll_comes_sooner(www):
    down = [1, 2, 3, 4]  # a 404 is tried twice

    def fault(h):
        if down and not h.path.endswith(publish.MANIFEST):
            down.pop()
            h.answer(404)
            return True

    with faulty(www, fault) as server:
        f = roll(server, **ALONE, poll_s=10_000.0, retry_s=100.0)
    assert (f["given_up"], f["updated"]) == (2, 1)
    # 100 and 200 s, 10 % more or less, and half a second of this machine.
    assert 90 + 180 <= f["until_s"]["100"] < 110 + 220 + 60


def test_after_an_update_a_device_restarts_and_asks_once_more(www):
    settings = {"devices": 20, "percent": 50, "poll_s": 1e5, "spread_s": 200.0}
    with serve.start(www) as server:
        f = roll(server, **settings, start_s=5.0)
        assert f["requests"]["total"] == len(server.requests)
        # All but those that were the last, and the others of whom nobody had asked again.
        assert 20 + f["updated"] - 4 <= f["requests"]["manifest"] <= 20 + f["updated"]
        assert roll(server, **settings, start_s=1e6)["requests"]["manifest"] == 20


class _Slow(Link):
    """A link whose round trip number `at` takes long, on a clock on which nothing else does."""

    def __init__(self, at, seconds):
        class Waits:
            grain, seconds = 0.01, 0.0

            def now(self):
                return self.seconds

            def ticks(self):
                return int(1000 * self.seconds)

            async def sleep(self, seconds):
                self.seconds += seconds

        self.watch = Waits()
        super().__init__(Profile(), self.watch, random.Random(0))
        self._left, self._seconds = at, seconds

    async def turn(self):
        self._left -= 1
        if not self._left:
            await self.watch.sleep(self._seconds)


def test_nothing_comes_over_a_link_that_broke_after_a_long_wait(long):
    class Breaks(_Slow):
        left = 1

        async def carry(self, length):
            if self.left:
                self.left = 0
                await self.watch.sleep(5)
                raise Cut
            await super().carry(length)

    link, tally = Breaks(0, 0), Tally()
    network = Network(Names(), link, link.watch, tally)
    package = name_of(long)[1]

    def steps(url):
        reader = yield from Resuming(url, **network.options(bytes, None, 0)).open()
        buf, got = bytearray(1000), b""
        while len(got) < len(package):
            got += bytes(buf[: reader.readinto(buf) or 0])
            yield None
        reader.close()
        return got

    with serve.start(long) as server:
        url = server.url + fleets.packages(long)[0][0]
        assert asyncio.run(network.run(steps(url))) == package
    assert (tally.failures, tally.body["manifest"]) == ({"cut": 1}, len(package))


@pytest.mark.parametrize(
    "at, seconds, word",
    [(1, 9, None), (1, 11, "connect"), (2, 14, None), (2, 16, "timeout"), (3, 99, None)],
)
def test_a_link_may_be_silent_as_long_as_the_device_says(www, at, seconds, word):
    link, tally = _Slow(at, seconds), Tally()
    network = Network(Names(), link, link.watch, tally)

    def steps(url):
        get = network.options(None, None, 0)["get"]
        answer = yield from get(url, 0, None, link.watch.ticks)
        while answer.readinto(bytearray(1000)) != 0:
            yield None

    with serve.start(www) as server:
        try:
            asyncio.run(network.run(steps(server.url + publish.MANIFEST)))
        except TransportError as e:
            assert e.reason == word
        else:
            assert word is None
    assert dict(tally.failures) == ({word: 1} if word else {})
