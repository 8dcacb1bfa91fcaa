"""Every row of docs/network-faults.md as whole updates over real sockets, on both interpreters.

tests/network_faults.py has the cases. Each ends with the expected code, wrote and erased what it
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
    ALL,
    CLEAN,
    MANIFEST,
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
_INTERPRETERS = ("CPython", "MicroPython")
_ROWS = sorted({f.row for f in network_faults.faults()})
_KEPT = (52, 53, 82)  # here the server keeps connections
_HEAP = 256  # bytes that may be in use afterwards beyond what was before
_LIMIT_MS = 10000
_BUFFER = 1024  # the client's read buffer
_HEAD = 250  # bytes of the longest good head


class _Net:
    """Servers with the pages of some faults; the cases for tests/net/update.py."""

    def __init__(self, server, other, full, tls=None):
        self.server, self.other, self._tls = server, other, tls
        self._ports = {"refused": closed_port(), "full": full, "other": other.port}
        self.cases, self.faults = [], []

    def add(self, fault, strategy):
        place = f"/{len(self.cases)}/"
        pages = {"manifest": fault.manifest or served(MANIFEST),
                 "package": fault.package or served(PACKAGE, 'ETag: "v1"'),
                 "first": fault.first, **fault.more}  # fmt: skip
        for name, page in pages.items():
            self.server.pages[place + name] = self.other.pages[place + name] = (
                page if callable(page) or page is None else [self._placed(s, place) for s in page]
            )
        case = {"name": f"{fault.row} {fault.name}, {strategy}", "strategy": strategy,
                "url": self._url(fault.url, place, fault.scheme),
                "clean": self.other.url + "/clean/manifest",
                "names": [self._answer(a) for a in fault.names],
                "http": {"tls": self._tls, **fault.http}, "retries": fault.retries,
                "now": fault.now, "erase_ms": fault.erase_ms}  # fmt: skip
        for name in ("stop", "spare", "floor"):
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
        done = subprocess.run(
            [*self._command(interpreter, heap), _TESTS / "net" / "update.py", file],
            capture_output=True, text=True, timeout=240,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-500:] + done.stderr
        usual, out = {}, []
        for result in map(json.loads, done.stdout.splitlines()):
            if result["name"] in STRATEGIES:
                usual[result["name"]] = result
            else:
                n = len(out)
                assert result["name"] == self.cases[n]["name"]
                out.append((usual[self.cases[n]["strategy"]], self.faults[n], n, result))
        assert len(out) == len(self.cases)
        return out

    def _command(self, interpreter, heap):
        if interpreter == "CPython":
            return [sys.executable]
        return [Path(sys.executable).parent / "micropython", "-X", f"heapsize={heap}"]

    def asked(self, n):
        path = f"/{n}/package"
        return sum(r.path == path for r in self.server.requests + self.other.requests)

    def _placed(self, script, place):
        other, here = (self.other.url + place).encode(), (self.server.url + place).encode()
        return [
            s.replace(b"{other}", other).replace(b"{plain}", other).replace(b"{tls}", here)
            if isinstance(s, bytes)
            else s
            for s in script
        ]

    def _url(self, url, place, scheme):
        if scheme == "http":
            return self.other.url + place + url
        if url.startswith("user@"):
            return self.server.url.replace("//", "//user@") + place + url[5:]
        return self.server.url + place + url

    def _answer(self, answer):
        if isinstance(answer, list):
            return [self._answer(a) for a in answer]
        return self._ports.get(answer, answer)


@contextlib.contextmanager
def _net(tls=None, scheme="http", **options):
    with FaultServer(**options) as server, FaultServer() as other, full_port() as full:
        other.pages["/clean/manifest"] = served(CLEAN)
        other.pages["/clean/package"] = served(PACKAGE)
        if scheme == "https":
            server.url = server.url.replace("http://", "https://")
        yield _Net(server, other, full, tls)


def problems(usual, fault, result):
    """What is not as it must be in the result of a case; usual: of a clean update."""
    error = result["error"]
    for i, word in enumerate(fault.words):
        if not error or error[i] not in (word if isinstance(word, tuple) else (word,)):
            yield f"error {error}, not {fault.words}"
            break
    if fault.words:
        if error and result["code"] != errors.code(error[0]):
            yield f"code {result['code']}"
        if not result["old"] or result["state"] not in ("IDLE", "FETCH"):
            yield f"the old image does not stay: {result['state']}"
    elif error or fault.result not in ("", result["result"]):
        yield f"{result['result']}, {error}"
    elif fault.result == "ready" and (result["state"] != "TRIAL" or result["old"]):
        yield f"not armed: {result['state']}"
    for what in ("written", "erased"):
        n, most = result[what], usual[what]
        if fault.written == NONE and n or fault.written == ALL and n != most or n > most:
            yield f"{what} {n}; a clean update: {most}"
    if result["worn"]:
        yield f"{result['worn']} erases of the KV"
    if result["open"]:
        yield f"{result['open']} sockets left open"
    if result["heap"] > _HEAP:
        yield f"{result['heap']} bytes left in use"
    if result["ms"] > _LIMIT_MS:
        yield f"{result['ms']} ms"
    again = "none" if result["state"] == "TRIAL" else "ready"
    if not result["clean"] or result["again"] != again:
        yield f"the next update: {result['again']}"


def _check(net, done):
    bad = []
    for usual, fault, n, result in done:
        found = list(problems(usual, fault, result))
        if fault.asked is not None and net.asked(n) != fault.asked:
            found.append(f"package asked for {net.asked(n)} times, not {fault.asked}")
        if fault.row == 9 and fault.asked and not fault.words:
            most = SIZE + len(MANIFEST) + (1 + fault.asked) * _HEAD
            most += (fault.asked - 1) * _BUFFER
            if result["got"] > most:
                found.append(f"{result['got']} bytes received, more than {most}")
        for name in fault.elsewhere:
            if any(name in r.fields for r in net.other.requests if r.path.startswith(f"/{n}/")):
                found.append(f"{name} sent to another server")
        bad += [f"{result['name']}: {what}" for what in found]
    assert not bad, "\n".join(bad)


@pytest.mark.parametrize("interpreter", _INTERPRETERS)
@pytest.mark.parametrize("row", _ROWS)
def test_row(row, interpreter, tmp_path):
    with _net() as net:
        for strategy in STRATEGIES:
            for fault in network_faults.faults():
                if fault.row == row and strategy in fault.strategies:
                    net.add(fault, strategy)
        assert net.cases
        _check(net, net.run(interpreter, tmp_path))
        if row not in _KEPT:
            assert len(net.server.requests) <= net.server.connections


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return certificates.make(tmp_path_factory.mktemp("pki"))


@pytest.mark.parametrize("interpreter", _INTERPRETERS)
@pytest.mark.parametrize(("row", "kind"), network_faults.TLS)
def test_tls(row, kind, interpreter, pki, tmp_path):
    options = {"scheme": "https"}
    if kind in network_faults.FIRST:
        options["first"] = network_faults.FIRST[kind]
    else:
        options["certificate"] = getattr(pki, {"other_ca": "good", "old": "good"}.get(kind, kind))
        options["old"] = kind == "old"
    trust = {"ca": str(pki.other_ca if kind == "other_ca" else pki.ca)}
    with _net(trust, **options) as net:
        for strategy in STRATEGIES[:2]:
            for fault in network_faults.tls_faults(row, kind):
                net.add(fault, strategy)
        _check(net, net.run(interpreter, tmp_path))
        if kind not in ("good", "chain"):
            # Nothing was asked, and nobody else instead: there is no fallback to plain text.
            assert not net.server.requests
            assert {r.path.split("/")[1] for r in net.other.requests} == {"clean"}


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_memory_that_runs_out_leaves_all_as_it_was(scheme, pki, tmp_path):
    # Whatever is allocated when it runs out, because what is left differs from case to case.
    options = {"scheme": scheme, "certificate": pki.good} if scheme == "https" else {}
    with _net({"ca": str(pki.ca)}, **options) as net:
        for strategy in STRATEGIES[:2]:
            for spare in range(0, 44 * 1024, 1024):
                net.add(
                    Fault(78, f"{spare} bytes", result="", written=SOME, spare=spare), strategy
                )
        done = net.run("MicroPython", tmp_path, "2M")
        failed = [r for _, _, _, r in done if r["error"]]
        assert {r["error"][0] for r in failed} == {"memory"}
        assert 20 <= len(failed) < len(done)
        for r in failed:
            r["error"] = None
        _check(net, done)
