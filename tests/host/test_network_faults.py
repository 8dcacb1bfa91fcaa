"""Every row of docs/network-faults.md as whole updates over real sockets, on both interpreters.

network_faults.py has the cases. Each ends with the expected code, wrote and erased what it
may, left no socket and no memory behind, and the next update from a good server succeeds.
"""

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import certificates
import network_faults
import pytest
from fault_server import FaultServer, closed_port, full_port
from network_faults import (
    ANY,
    BEGUN,
    CLEAN,
    MANIFEST,
    MORE,
    NONE,
    PACKAGE,
    SIZE,
    SOME,
    STRATEGIES,
    Fault,
    served,
)
from ota import errors

_TESTS = Path(__file__).parents[1]
_PLAYER = "support/net/players/update.py"
_INTERPRETERS = ("CPython", "MicroPython")
_ROWS = sorted({f.row for f in network_faults.faults()} - {0})
_HEAP = {"MicroPython": 256, "CPython": 4096}  # bytes that may be in use afterwards beside before
_PEAK = 4096  # bytes beside the most that an update without faults takes (CPython)
_ACCEPTED = 80  # bytes of the sequence of a manifest that was accepted
_NOTED = 240 + _ACCEPTED  # and of a record of why an update was refused
_LATE_MS = 5000  # beside the limits of time that a case waits for
_BUFFER = 1024  # the client's read buffer
_HEAD = 250  # bytes of the longest good head


class _Net:
    """Servers with the pages of some faults; the cases for players/update.py."""

    def __init__(self, files, server, other, six, full, tls=None):
        self._files = files
        self.server, self.other, self._six, self._tls = server, other, six, tls
        self._ports = {"refused": closed_port(), "full": full, "other": other.port}
        self.cases, self.faults = [], []
        self.left_out = []

    def add(self, fault, strategy):
        if "{ipv6}" in fault.url and not self._six:
            self.left_out.append(fault)
            return
        place = f"/{len(self.cases)}/"
        pages = {"manifest": fault.manifest or served(MANIFEST),
                 "package": fault.package or served(PACKAGE, 'ETag: "v1"'),
                 "first": fault.first, **fault.more}  # fmt: skip
        for name, page in pages.items():
            self.server.pages[place + name] = self.other.pages[place + name] = (
                page if callable(page) or page is None else [self._placed(s, place) for s in page]
            )
        case = {"name": f"{fault.row} {fault.name}, {strategy}", "strategy": strategy,
                "url": self._urls(fault.url, place, fault.scheme),
                "clean": self.other.url + "/clean/manifest",
                "names": [self._answer(a) for a in fault.names],
                "http": {"tls": self._tls, **fault.http}, "retries": fault.retries,
                "now": fault.now, "erase_ms": fault.erase_ms}  # fmt: skip
        for name in ("stop", "spare", "window", "floor"):
            if getattr(fault, name) is not None:
                case[name] = getattr(fault, name)
        if fault.first:
            case["first"] = self.server.url + place + "first"
        self.cases.append(case)
        self.faults.append(fault)

    def run(self, interpreter, folder, heap="8M"):
        """[(what a clean update does, fault, number of its folder, result)]"""
        file = folder / "cases.json"
        file.write_text(json.dumps(self.cases))
        # Where the heap is to be full, garbage is collected as on a board.
        wait = () if any("spare" in case for case in self.cases) else ("wait",)
        done = subprocess.run(
            [*self._command(interpreter, heap), file, *wait],
            capture_output=True, text=True, timeout=240,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-500:] + done.stderr
        assert not done.stderr, done.stderr
        usual, out = {}, []
        for result in map(json.loads, done.stdout.splitlines()):
            if result["name"] in STRATEGIES:
                usual[result["name"]] = result
            else:
                n = len(out)
                assert result["name"] == self.cases[n]["name"]
                out.append((usual[self.cases[n]["strategy"]], self.faults[n], n, result))
                if self.faults[n].written == BEGUN and not self.faults[n].row:
                    usual[self.cases[n]["strategy"]]["begun"] = result
        assert len(out) == len(self.cases)
        return out

    def _command(self, interpreter, heap):
        if interpreter == "CPython":
            # Of what nobody closed.
            return [
                sys.executable,
                "-W",
                "always::ResourceWarning",
                _TESTS / _PLAYER,
            ]
        micropython = Path(sys.executable).parent / "micropython"
        return [
            micropython,
            "-X",
            f"heapsize={heap}",
            self._files / "tests" / _PLAYER,
        ]

    def asked(self, n, *pages):
        """Requests of a case, for those pages or for all; first those of the first server."""
        servers = [s for s in (self.server, self.other, self._six) if s]
        found = [r for s in servers for r in s.requests if r.path.startswith(f"/{n}/")]
        return [r for r in found if not pages or r.path.split("/", 2)[2] in pages]

    def _placed(self, script, place):
        return [self._filled(s, place) if isinstance(s, bytes) else s for s in script]

    def _filled(self, text, place):
        for name, url in (("other", self.other.url), ("plain", self.other.url),
                          ("tls", self.server.url), ("here", self.server.url)):  # fmt: skip
            text = text.replace(b"{%s}" % name.encode(), (url + place).encode())
        return text

    def _urls(self, url, place, scheme):
        if isinstance(url, list):
            return [self._urls(u, place, scheme) for u in url]
        server = self.other if scheme == "http" or url.startswith("{other}") else self.server
        if url.startswith("{ipv6}"):
            server = self._six
        names = {"{user}": "user@localhost", "{ipv4}": "127.0.0.1", "{ipv6}": "[::1]"}
        for name, host in names.items():
            if url.startswith(name):
                return server.url.replace("localhost", host) + place + url[len(name) :]
        return server.url + place + url.replace("{other}", "")

    def _answer(self, answer):
        if isinstance(answer, list):
            return [self._answer(a) for a in answer]
        return self._ports.get(answer, answer)


@contextlib.contextmanager
def _net(board_files, tls=None, scheme="http", **options):
    with contextlib.ExitStack() as stack:
        server, other = (stack.enter_context(FaultServer(**o)) for o in (options, {}))
        try:
            six = stack.enter_context(FaultServer(ipv6=True))
            six.pages = server.pages
        except OSError:
            six = None  # this computer has no IPv6 loopback
        other.pages["/clean/manifest"] = served(CLEAN)
        other.pages["/clean/package"] = served(PACKAGE)
        if scheme == "https":
            server.url = server.url.replace("http://", "https://")
        yield _Net(board_files, server, other, six, stack.enter_context(full_port()), tls)


def problems(usual, fault, result, interpreter):
    """What is not as it must be in the result of a case; usual: of a clean update."""
    error = result["error"]
    for i, word in enumerate(fault.words):
        if not error or error[i] not in (word if isinstance(word, tuple) else (word,)):
            yield f"error {error}, not {fault.words}"
            break
    if fault.words:
        if error and not errors.code(error[0]) == result.get("code") == result["reason"]:
            yield f"code {result.get('code')}, kept {result['reason']}"
        if not result["old"] or result["state"] not in ("IDLE", "FETCH"):
            yield f"the old image does not stay: {result['state']}"
    elif fault.result == "refused":  # by the boot stage
        if error or result["result"] != "ready":
            yield f"{result['result']}, {error}"
        if not result["old"] or result["state"] != "IDLE" or not result["reason"]:
            yield f"not refused: {result['state']}, {result['reason']}"
    elif error or fault.result not in ("", result["result"]):
        yield f"{result['result']}, {error}"
    elif fault.result == "ready" and result["state"] != "TRIAL":
        yield f"not armed: {result['state']}"
    elif result["old"] == (result["state"] == "TRIAL"):
        yield f"not the image of the state: {result['state']}"
    yield from _flash(usual, fault, result)
    if fault.sequence not in (None, result["sequence"]):
        yield f"sequence {result['sequence']}"
    if result["open"]:
        yield f"{result['open']} sockets left open"
    if result["heap"] > _HEAP[interpreter]:
        yield f"{result['heap']} bytes left in use"
    if fault.spare and result["peak"] > usual["peak"] + _PEAK:
        yield f"{result['peak']} bytes in use; a clean update: {usual['peak']}"
    if not fault.waits <= result["ms"] <= fault.waits + _LATE_MS:
        yield f"{result['ms']} ms, not {fault.waits} and a little more"
    again = "none" if result["state"] == "TRIAL" else "ready"
    if not result["clean"] or result["again"] != again:
        yield f"the next update: {result['again']}"


def _flash(usual, fault, result):
    """Programmed and erased: none, so much as a clean update does, or no more than that."""
    least, most = {NONE: (0, 0), SOME: (0, 1), BEGUN: (0, 1), MORE: (0, 2)}.get(
        fault.written, (1, 1)
    )
    for i, what in enumerate(("written", "erased")):
        n, clean = result[what], usual[what]
        if fault.written == BEGUN:
            clean = usual["begun"][what]
        elif isinstance(fault.written, tuple):
            clean = fault.written[i]
        if not least * clean <= n <= most * clean:
            yield f"{what} {n}; it must be {least} to {most} times {clean}"
    if result["worn"]:
        yield f"{result['worn']} erases of the KV"
    if fault.written == NONE and result["noted"] > (_NOTED if fault.words else _ACCEPTED):
        yield f"{result['noted']} bytes programmed in the KV"


def _asked(net, fault, n, result):
    """Requests of a case: how many, for what, on which connections; bytes that came of them."""
    for page, count in (("manifest", fault.asks), ("package", fault.asked)):
        if count not in (ANY, len(net.asked(n, page))):
            yield f"{page} asked for {len(net.asked(n, page))} times, not {count}"
    requests = net.asked(n)
    most = len(requests) * _HEAD + max(0, len(requests) - 2) * _BUFFER + fault.extra
    most += bool(fault.asks) * len(MANIFEST) + bool(fault.asked) * SIZE
    if result["got"] > most:
        yield f"{result['got']} bytes received, more than {most}"
    if fault.ranges:
        page, *ranges = fault.ranges
        found = [r.fields.get("range") for r in net.asked(n, page)]
        if found != ranges:
            yield f"ranges {found}, not {ranges}"
    for name in fault.without:
        if any(name in r.fields for r in requests):
            yield f"{name} was sent"
    other = [r for r in net.other.requests if r in requests]
    if any(name in r.fields for r in other for name in fault.elsewhere):
        yield f"{fault.elsewhere} sent to another server"
    if fault.other not in (None, len(other)):
        yield f"the other server was asked {len(other)} times, not {fault.other}"
    for server in (net.server, net.other):
        used = [r.connection for r in server.requests if r in requests]
        if not fault.reused and len(set(used)) < len(used):
            yield "a connection was used again"


def _check(net, done, interpreter="MicroPython"):
    bad = []
    for usual, fault, n, result in done:
        found = [*problems(usual, fault, result, interpreter), *_asked(net, fault, n, result)]
        bad += [f"{result['name']}: {what}" for what in found]
    assert not bad, "\n".join(bad)


def _faults(row, every):
    """Those of a row, behind what they are compared with; of each strategy, or of one, which
    differs from row to row."""
    found = [f for f in network_faults.faults() if f.row in (0, row)]
    if not every:
        for fault in found:
            fault.strategies = fault.strategies[row % len(fault.strategies) :][:1]
    compared = any(f.row and f.written == BEGUN for f in found)
    strategies = {s for f in found if f.row for s in f.strategies}
    for fault in found:
        if not fault.row:
            fault.strategies = strategies
    return [f for f in found if f.row or compared]


# The clients are the same code; what devices run is MicroPython's. What a strategy does with a
# package is the same on both interpreters: all of them are played on one.
_TIERS = [
    ("MicroPython", False),
    pytest.param("MicroPython", True, marks=pytest.mark.long),
    pytest.param("CPython", False, marks=pytest.mark.long),
]


@pytest.mark.parametrize(("interpreter", "every"), _TIERS)
@pytest.mark.parametrize("row", _ROWS)
def test_row(row, interpreter, every, tmp_path, board_files):
    with _net(board_files) as net:
        for strategy in STRATEGIES:
            for fault in _faults(row, every):
                if strategy in fault.strategies:
                    net.add(fault, strategy)
        assert row in [fault.row for fault in net.faults]
        # Collecting garbage in a large heap that is full takes its time.
        heap = "2M" if any(fault.spare for fault in net.faults) else "8M"
        done = net.run(interpreter, tmp_path, heap)
        _check(net, done, interpreter)
        if row == 75:
            # The server had to wait for the flash, whose erases alone take that long.
            assert len(net.server.took) == len(net.faults) and min(net.server.took) > 0.1
        if net.left_out:
            pytest.skip("no IPv6 loopback on this computer; the other cases of the row are good")


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return certificates.make(tmp_path_factory.mktemp("pki"))


@pytest.mark.parametrize("interpreter", _INTERPRETERS)
@pytest.mark.parametrize(("row", "kind"), network_faults.TLS)
def test_tls(row, kind, interpreter, pki, tmp_path, board_files):
    options = {"scheme": "https"}
    if kind in network_faults.FIRST:
        options["first"] = network_faults.FIRST[kind]
    else:
        options["certificate"] = getattr(pki, {"other_ca": "good", "old": "good"}.get(kind, kind))
        options["old"] = kind == "old"
    trust = {"ca": str(pki.other_ca if kind == "other_ca" else pki.ca)}
    with _net(board_files, trust, **options) as net:
        for strategy in STRATEGIES[:2]:
            for fault in network_faults.tls_faults(row, kind):
                net.add(fault, strategy)
        _check(net, net.run(interpreter, tmp_path), interpreter)
        if kind not in ("good", "chain"):
            # Nothing was asked, and nobody else instead: there is no fallback to plain text.
            assert not net.server.requests
            assert {r.path.split("/")[1] for r in net.other.requests} == {"clean"}


@pytest.mark.parametrize(
    ("scheme", "step"),
    [
        ("http", 5),
        pytest.param("http", 1, marks=pytest.mark.long),
        pytest.param("https", 1, marks=pytest.mark.long),
    ],
)
def test_memory_that_runs_out_leaves_all_as_it_was(scheme, step, pki, tmp_path, board_files):
    # Whatever is allocated when it runs out, because what is left differs from case to case.
    options = {"scheme": scheme, "certificate": pki.good} if scheme == "https" else {}
    free = {"result": "", "asks": ANY, "asked": ANY}
    with _net(board_files, {"ca": str(pki.ca)}, **options) as net:
        strategies = STRATEGIES[: 2 if scheme == "http" and step == 1 else 1]
        for strategy in strategies:
            for spare in range(1024, 44 * 1024, step * 1024):
                net.add(
                    Fault(78, f"{spare} bytes", (), written=SOME, spare=spare, **free), strategy
                )
        done = net.run("MicroPython", tmp_path, "2M")
        failed = [r for _, _, _, r in done if r["error"]]
        assert {r["error"][0] for r in failed} == {"memory"}
        assert 20 // step <= len(failed) < len(done)
        # What was being imported when memory ran out may stay until the next import (up to 1344
        # bytes were seen); from failure to failure nothing grows.
        for strategy in strategies:
            before = [r["before"] for _, _, _, r in done if r["name"].endswith(strategy)]
            assert max(before) - min(before) <= 2 * 1024, before
            third = len(before) // 3
            assert min(before[-third:]) - min(before[:third]) <= 2 * _HEAP["MicroPython"], before
        for r in failed:
            assert r["heap"] <= 6 * 1024  # seen in 2752 cases: up to 4320
            r["error"], r["heap"] = None, 0
        _check(net, done)
