"""Smallest heap of each stage, on the virtual board: real MicroPython, 64-bit objects, .mpy.

    python bench/memory.py [--old IMAGE --new IMAGE] [--code] [--strategy NAME] [--stage NAME]

For every strategy: a start (import, table, state, slot choice, mount), the first start of all
(formats the KV, writes the first record), a whole update over plain HTTP without the
application, the apply by the boot stage, and the way back of an image that was given up; then
update and apply once more with a full package instead of a delta, with a KV whose newest sector
is full, and over TLS, with what that takes of a board's heap put aside. The images are the
demo's 0.1 and 0.2 (microdot 2.6.0 and 2.7.0 from PyPI). Bisects `-X heapsize=`; a figure is the
smallest heap that works, everything included: the port's start-up, the root littlefs, the
library loaded from .mpy. 32-bit boards need less: objects are half the size there.
docs/memory.md has the figures reached; tests/host/test_memory.py holds them.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import folders  # noqa: E402

folders.add()

import random  # noqa: E402

import certificates  # noqa: E402
import code_images  # noqa: E402
from otatool import sim  # noqa: E402
from otatool.demo import application  # noqa: E402
from otatool.patch.pointers.thumb import Thumb  # noqa: E402
from otatool.product import provision  # noqa: E402
from otatool.release import keys, publish, serve  # noqa: E402
from otatool.sim import firmware  # noqa: E402

BOOT_ONLY = "print('BENCH', 'done')\n"
UPDATE = """
import ota
try:
    print('BENCH', 'done', ota.check_and_update()['result'])
except ota.errors.StateError:
    print('BENCH', 'memory')
"""
# TLS of the virtual board has memory of its own. What mbedTLS takes of the heap of an rp2 while
# a connection is open is put aside instead: its buffer for a record, in one piece, and the rest.
BALLAST = 16896, 24
BALLAST_TLS = (
    """
from ota.transport.sockets import Stream
inner, close = Stream.__init__, Stream.close
def init(self, sock, context=None, host=None):
    if context:
        self.ballast = [bytearray(%d)] + [bytearray(1024) for _ in range(%d)]
    inner(self, sock, context, host)
def shut(self):
    self.ballast = None
    close(self)
Stream.__init__, Stream.close = init, shut
"""
    % BALLAST
)
UPDATE_TLS = BALLAST_TLS + UPDATE
STATUS = """
import ota
s = ota.status()
print('BENCH', 'done', s['state'], s['version'])
"""

SPARE = 32768  # bytes of flash for a stash
LUCK = 12  # KB above a heap that must work as well

ROLLBACK = """
import ota
if ota.status()['state'] == 'TRIAL':
    ota.rollback(reset=False)
print('BENCH', 'done')
"""
# Little room is left in the newest sector of the KV: the next state record does not fit.
CROWD = """
import ota
store = ota.store()
kv = store.full()
while (kv.ring.newest + 1) * kv.log.sector - kv.ring.end > 200:
    kv.set('crowd', bytes([kv.ring.end & 255, kv.ring.end >> 8]))
store.sync()
print('BENCH', 'done')
"""

# stage: its main.py, what it prints when it works, the stage whose flash it begins with
STAGES = {
    "start": (BOOT_ONLY, "done", "first"),
    "first": (BOOT_ONLY, "done", None),
    "update": (UPDATE, "done ready", "first"),
    "apply": (STATUS, "done TRIAL 0.2", "update"),
    "back": (STATUS, "done IDLE 0.1", "given up"),
    "full": (UPDATE, "done ready", "first"),
    "apply full": (STATUS, "done TRIAL 0.2", "full"),
    "update, TLS": (UPDATE_TLS, "done ready", "first"),
    "full, TLS": (UPDATE_TLS, "done ready", "first"),
    "update, KV full": (UPDATE, "done ready", "crowd"),
    "apply, KV full": (STATUS, "done TRIAL 0.2", "crowd updated"),
}
# What lies between two of them and is not measured.
BETWEEN = {
    "given up": (ROLLBACK, "done", "apply"),
    "crowd": (CROWD, "done", "first"),
    "crowd updated": ("import ota\nota.check_and_update()\n" + CROWD, "done", "first"),
}


def works(flash: Path, heap: int, expected: str, timeout: float = 30) -> bool:
    """True if the board, with that heap in KB, prints what is expected."""
    board = sim.Board(flash, heap=f"{heap}K", restart=False)
    try:
        with board:
            board.wait(lambda: b"BENCH" in board.console or b"Error" in board.console, timeout)
            board.wait(lambda: board.console.rstrip().endswith(b">>>"), 5)
    except TimeoutError:
        pass
    return f"BENCH {expected}".encode() in board.console


def smallest(bench, stage: str, low: int = 8, high: int = 256) -> int:
    """Smallest heap in KB from which on a stage works; 0 if it does at none.

    Where a heap is cut into pieces is a matter of luck: the next larger ones must do too.
    """
    if not bench.passes(stage, high):
        return 0
    while high - low > 1:
        middle = (low + high) // 2
        if bench.passes(stage, middle):
            high = middle
        else:
            low = middle
    luck = high
    while luck < high + LUCK:
        luck += 1
        if not bench.passes(stage, luck):
            high = luck + 1
    return high


def main() -> None:
    """Print the table."""
    p = argparse.ArgumentParser()
    p.add_argument("--old", type=Path, help="image that runs (default: the demo's 0.1)")
    p.add_argument("--new", type=Path, help="image it is updated to (default: the demo's 0.2)")
    p.add_argument("--code", action="store_true", help="code, with pointer filter and stash")
    p.add_argument("--strategy", choices=provision.STRATEGIES)
    p.add_argument("--stage", action="append", choices=STAGES, help="may be repeated")
    args = p.parse_args()
    stages = args.stage or list(STAGES)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        old, new = code() if args.code else images(args.old, args.new)
        print(f"image {len(old)} > {len(new)} bytes")
        names = " ".join(f"{name:>15}" for name in stages)
        print(f"{'strategy':10} {names}   (KB of heap)")
        for strategy in provision.STRATEGIES:
            if args.strategy in (None, strategy):
                with Bench(root, strategy, old, new, spare=SPARE if args.code else 0) as bench:
                    row = [smallest(bench, stage) for stage in stages]
                print(f"{strategy:10} " + " ".join(f"{n or '-':>15}" for n in row), flush=True)


def images(old: Path | None = None, new: Path | None = None) -> tuple[bytes, bytes]:
    """The images before and after the update; by default those of the demo."""
    if old and new:
        return old.read_bytes(), new.read_bytes()
    made = application.images()
    return made[application.OLD], made[application.NEW]


def code(fresh: int = 12288) -> tuple[bytes, bytes]:
    """Images before and after whose patch has a pointer filter with a long table; in place, with
    spare flash, a stash too. fresh: bytes of the second that do not deflate."""
    old = code_images.thumb(11, 100_000, 0)
    new = code_images.scattered(Thumb, old, 0, 420, b"\x00\xbf")
    return old, new[60_000:] + random.Random(1).randbytes(fresh) + new[:60_000]


class Bench:
    """A strategy's boards, one for each try, and the server they ask.

    options: further arguments of publish.Release.
    """

    def __init__(self, root: Path, strategy: str, old: bytes, new: bytes, **options):
        self.config: dict = {}  # of the boards
        self._folder = root / strategy
        self._folder.mkdir()
        self._strategy = strategy
        self._old = old
        self._key = keys.generate("rsa")
        self._servers = {}
        self._pki = certificates.make(self._folder)
        for kind, releases in (("delta", (("0.1", old), ("0.2", new))), ("full", (("0.2", new),))):
            www = self._folder / kind
            for version, data in releases:
                release = publish.Release("bench", version, **options)
                publish.publish(www, data, release, [self._key])
            self._servers[kind] = serve.start(www)
            self._servers[kind + ", TLS"] = serve.start(www, tls=(self._pki.good, self._pki.good))
        self._count = 0
        self._flash: dict[str | None, bytes | None] = {None: None}

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for server in self._servers.values():
            server.close()

    def passes(self, stage: str, heap: int) -> bool:
        """True if a stage works with that heap in KB."""
        main, expected, before = STAGES[stage]
        return works(self._board(stage, main, self._before(before)), heap, expected)

    def _before(self, stage):
        # The flash with which a stage begins is the one that the stage before leaves.
        if stage not in self._flash:
            main, expected, before = {**STAGES, **BETWEEN}[stage]
            flash = self._board(stage, main, self._before(before))
            if not works(flash, 512, expected):
                raise SystemExit(f"{stage} does not work at all")
            self._flash[stage] = flash.read_bytes()
        return self._flash[stage]

    def _board(self, stage, main, flash):
        place = self._place()
        (place / "bench.pem").write_bytes(self._key.secret_file())
        kind = "full" if stage.startswith("full") else "delta"
        server = self._servers[kind + ", TLS" * stage.endswith("TLS")]
        url = server.url.rstrip("/") + "/manifest.ota"
        # An image that is no file system does not tell its size.
        config = {"image_size": len(self._old), **self.config}
        if stage.endswith("TLS"):
            config["http"] = {"tls": {"ca": self._pki.ca.read_text()}}
        product = provision.Product("bench", self._strategy, self._old, url=url, config=config)
        done = provision.provision(place, product)
        layout = json.loads(done.layout.read_text())
        rom = firmware.build(layout, main=main)
        data = bytearray(flash or done.flash.read_bytes())
        spans = {n: (o, s) for n, o, s in done.partitions}
        at, size = spans["firmware"]
        data[at : at + size] = rom + b"\xff" * (size - len(rom))
        done.flash.write_bytes(data)
        return done.flash

    def _place(self):
        self._count += 1
        place = self._folder / str(self._count)
        place.mkdir()
        return place


if __name__ == "__main__":
    main()
