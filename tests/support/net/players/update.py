"""Play whole updates over real sockets and print what each left behind, on either interpreter.

    micropython -X heapsize=8M tests/support/net/players/update.py CASES.json [wait]

wait: the library's garbage waits until memory is short, see garbage.py.

A case is a dict: name; strategy; url, of the manifest, or a list of mirrors; clean, of a
manifest that is served well. Optional: http, arguments of Static; retries; now; names and
window, see names.py; first, of a manifest that is asked for before; erase_ms, how long an
erase takes; stop, after how many steps the update is given up; spare, bytes of heap that are
left to it (MicroPython), or the most in use is looked at (CPython); floor, lowest security
version that may run until the good server is asked.
The first result is of an update without faults, with the name of the strategy.
"""

import gc
import json
import sys

try:
    import tracemalloc
except ImportError:
    tracemalloc = None

_HERE = __file__.rpartition("/")[0] or "."
_KB = 1024

sys.path.insert(0, _HERE + "/../../..")
import folders  # noqa: E402

folders.add()
sys.path.insert(0, _HERE)

if sys.argv[2:] == ["wait"]:
    import garbage

    garbage.wait()

import scenes  # noqa: E402
from names import Names, open_files  # noqa: E402
from ota import device, modules, state, update  # noqa: E402
from ota.boot import trial  # noqa: E402
from ota.compat import sleep_ms, ticks_diff, ticks_ms  # noqa: E402
from ota.errors import OtaError  # noqa: E402
from ota.source import mirrors, static  # noqa: E402
from ota.transport import resume, sockets  # noqa: E402

_RETRIES = 3


class Board:
    """A rig whose flash is watched: written and erased outside the KV, noted and worn inside."""

    def __init__(self, strategy, erase_ms=0, floor=0):
        self.rig = rig = scenes.blank(strategy)
        self._kv = rig.config["partitions"]["kv"]["offset"]
        self._erase_ms = erase_ms
        self.floor(self.rig.boot(), floor)
        self._program = rig.nor.program
        self._erase = rig.nor.erase
        rig.nor.program, rig.nor.erase = self.program, self.erase
        self.restart()

    def floor(self, record, floor):
        """Let nothing below that security version run."""
        if record.floor != floor:
            record.floor = floor
            self.rig.device.slots.save(record)
            self.rig.boot()  # what a KV writes at the start after that is none of the update's

    def restart(self):
        """Count from zero."""
        self.written = self.erased = self.noted = self.worn = self.got = 0

    def program(self, offset, data):
        if offset < self._kv:
            self.written += len(data)
        else:
            self.noted += len(data)
        self._program(offset, data)

    def erase(self, offset, length):
        if offset < self._kv:
            self.erased += 1
        else:
            self.worn += 1
        sleep_ms(self._erase_ms)
        self._erase(offset, length)

    def counted(self, host, port, context, limits, clock):
        """sockets.connect, but what arrives is counted."""
        stream = yield from sockets.connect(host, port, context, limits, clock)
        readinto = stream.readinto

        def counting(buf):
            n = readinto(buf)
            self.got += n or 0
            return n

        stream.readinto = counting
        return stream

    def update(self, url, http, now=0, stop=None):
        """Ask and install; the result, or None if it was stopped. The device is gone after."""
        self.rig.boot()
        if isinstance(url, str):
            steps = update.run(self.rig.device, static.Static(url, http), now)
        else:
            steps = mirrors.run(self.rig.device, mirrors.sources(url, http), now)
        try:
            if stop is None:
                return update.drive(steps)
            for _ in range(stop):
                next(steps)
        except StopIteration as e:
            return e.value
        finally:
            steps.close()
            self.forget()

    def forget(self):
        """Nothing is left of the device but its flash; nor is code that waits for further use."""
        if self.rig.device:
            self.rig.device.unload_kv()
            self.rig.device.unload_keys()
        self.rig.device = device.current = None

    def close(self):
        """The rig is another board's again."""
        del self.rig.nor.program, self.rig.nor.erase


def run(case):
    """The result of one case, a dict of plain values."""
    board = Board(case["strategy"], case.get("erase_ms", 0), case.get("floor", 0))
    board.forget()
    http = dict(case.get("http", {}))
    if "first" in case:
        try:
            board.update(case["first"], http)
        except OtaError:
            pass
        board.restart()
    network = sockets.socket
    sockets.socket = Names(network, case.get("names", ()), case.get("window", 0))
    static.Resuming = _quick(case.get("retries", _RETRIES))
    files, before = open_files(), _heap()
    ballast = None if tracemalloc or "spare" not in case else _fill(case["spare"])
    start = ticks_ms()
    try:
        said = _said(board, case, dict(http))
    finally:
        sockets.socket = network
        static.Resuming = resume.Resuming
    files = open_files() - files  # before a collection, which closes what was forgotten
    peak = _peak() - before
    del ballast
    board.forget()  # there may have been no memory for that
    heap = _heap() - before
    result = json.loads(said)
    result["ms"] = ticks_diff(ticks_ms(), start)
    result["name"] = case["name"]
    result["before"] = before
    result["heap"] = heap
    result["peak"] = peak
    for name in ("written", "erased", "noted", "worn", "got"):
        result[name] = getattr(board, name)
    result["open"] = files
    _clean(board, case, result)
    board.close()
    return result


def _said(board, case, http):
    """What an update ended with, in one piece of memory: JSON."""
    http["connect"] = board.counted
    out = {"result": None, "error": None}
    try:
        done = board.update(case["url"], http, case.get("now", 0), case.get("stop"))
        out["result"] = done and done["result"]
    except OtaError as e:
        out["error"] = [a for a in e.args if isinstance(a, (int, str))]
        out["code"] = e.code
    except MemoryError:
        out["error"] = ["memory"]
    return json.dumps(out)


def _clean(board, case, result):
    """Asked again, all is well: the next boot runs the new image, and until then the old one."""
    rig = board.rig
    record = rig.boot()
    result["state"] = state.name(record.state)
    result["sequence"], result["reason"] = record.sequence, record.reason
    result["old"] = rig.runs(scenes.ONE)
    if record.state == state.TRIAL:
        trial.confirm()
    board.floor(rig.device.slots.load(), 0)
    board.forget()
    board.restart()
    static.Resuming = _quick(0)
    result["again"] = board.update(case["clean"], {})["result"]
    static.Resuming = resume.Resuming
    for name in ("written", "erased", "got"):
        result["clean " + name] = getattr(board, name)
    rig.boot()
    result["clean"] = rig.runs(scenes.TWO)
    board.forget()


def _quick(retries):
    def make(url, size=None, **options):
        options["retries"] = min(options.get("retries", retries), retries)
        return resume.Resuming(url, size, pause_ms=1, **options)

    return make


def _heap():
    """Bytes in use after a collection; 0 on CPython, if they are not counted."""
    gc.collect()
    if tracemalloc:
        tracemalloc.reset_peak()
        return tracemalloc.get_traced_memory()[0]
    return gc.mem_alloc()


def _peak():
    """Most bytes in use since _heap(); MicroPython does not know that."""
    return tracemalloc.get_traced_memory()[1] if tracemalloc else 0


def _names():
    """Let MicroPython's table of names double now, by some KB at once and for good, and not while
    a case is measured."""
    before = 0 if tracemalloc else gc.mem_alloc()
    for i in range(0 if tracemalloc else 9999):
        hasattr(gc, "name_%d" % i)  # what is asked for by a name goes into the table
        if i % 16 == 0:  # counting takes long in a large heap
            after = gc.mem_alloc()
            if after - before > 4 * _KB:
                return
            before = after


def _fill(spare):
    """Pieces of memory that leave about so many bytes, in one piece and in holes."""
    out = []
    gc.collect()
    try:
        while True:
            out.append(bytearray(_KB))
    except MemoryError:
        pass
    for _ in range(spare // _KB):
        out.pop()
    gc.collect()
    return out


def main(path):
    """Play the cases of a file."""
    for name in ("transport.head", "transport.tls", "delta.patch"):
        modules.load(name)  # once loaded, they stay
    if tracemalloc:
        modules.load("state.failure")  # here that one stays, too
    _names()
    with open(path) as f:
        cases = json.load(f)
    if tracemalloc and any("spare" in case for case in cases):
        tracemalloc.start()  # it makes all slower, three times
    seen = []
    for case in cases:
        if case["strategy"] not in seen:
            seen.append(case["strategy"])
            usual = {"name": case["strategy"], "url": case["clean"], "strategy": seen[-1]}
            usual["clean"] = case["clean"]
            run(usual)  # what is loaded once stays
            print(json.dumps(run(usual)))
        print(json.dumps(run(case)))


if __name__ == "__main__":
    main(sys.argv[1])
