"""The share of an update in a board's heap: what the library itself takes, on the virtual board.

    python bench/share.py [--strategy NAME] [--package NAME] [--block BYTES]

All modules that an update uses are loaded beforehand and stay, as in frozen firmware, whose
bytecode and names are not in the heap. Then the heap is filled until so many bytes are left, in
one piece, and the whole of ota.check_and_update() runs. *share*: the fewest bytes from which on
it works, bisected, and tried up to 2 KB above: buffers, objects, garbage between two collections,
all. *live*: the most that is in use at any step, garbage collected. Real MicroPython, objects of
64 bits. Over TLS the virtual board's mbedTLS has memory of its own; what it takes of an rp2 is put
aside besides, and not counted. docs/memory.md has the figures reached; tests/host/test_share.py
holds them.
"""

import argparse
import re
import tempfile
from pathlib import Path

import memory
from otatool import sim
from otatool.product import provision
from otatool.release.package import BLOCK

PACKAGES = ("delta", "filter", "full")
# What is put aside for TLS, with the objects that hold it, of 32 bytes each, and a list of them.
BALLAST = sum((memory.BALLAST[0], 1024 * memory.BALLAST[1], 32 * memory.BALLAST[1], 320))
_HEAP = "1M"
_STEP = 128  # bytes, of the figures
_HIGH = 96 << 10
_LUCK = 16  # steps above, which must do as well

# What an update loads stays: modules that are unloaded would be in the figure again and again.
_STAY = """
import gc, sys
from ota import device, modules
device.unload = modules.unload = lambda name: None
import ota
"""
NAMES = (
    _STAY
    + """
ota.check_and_update()
print('BENCH names', *sys.modules)
"""
)
LOADED = (
    _STAY
    + """
for name in %r.split():
    __import__(name)
count = len(sys.modules)
# The table of names doubles from time to time: now, and not in what is measured.
number = grown = 0
while grown < 1024:
    gc.collect()
    grown = gc.mem_alloc()
    hasattr(gc, 'name%%d' %% number)
    number += 1
    grown = gc.mem_alloc() - grown
"""
)
# gc.mem_alloc() at each step. Nothing printed: that would be in it.
LIVE = """
def peak():
    most = 0
    for step in ota.steps():
        gc.collect()
        most = max(most, gc.mem_alloc())
    return most
gc.collect()
before = gc.mem_alloc()
most = peak() - before
print('BENCH live', most if len(sys.modules) == count else -1)
"""
# Pieces of all sizes, chained by small tuples, fill all that is free.
FILLER = """
chain = None
def fill():
    global chain
    size = 1 << 20
    while size >= 64:
        try:
            chain = (chain, bytearray(size))
        except MemoryError:
            size >>= 1
    try:
        while True:
            chain = (chain,)
    except MemoryError:
        pass
"""
# What is around the piece that is left. Twice: the first time leaves some garbage.
FILL = (
    FILLER
    + """
piece = done = free = None
gc.threshold(-1)
gc.collect()
piece = bytearray(LEFT)
fill()
gc.collect()
fill()
piece = None
gc.collect()
free = gc.mem_free()
try:
    done = ota.check_and_update()['delta']
except ota.errors.StateError:
    done = 'memory'
chain = None
# A failure loads what notes it.
print('BENCH share', free, done if done == 'memory' or len(sys.modules) == count else 'modules')
"""
)


class Share(memory.Bench):
    """Boards of one strategy, all of which update to the same image; block: bytes."""

    def __init__(self, root: Path, strategy: str, old: bytes, new: bytes, block: int = BLOCK):
        super().__init__(root, strategy, old, new, windows=(10,), quick=True, block=block)
        self.config = {"block": block}
        self._names: dict[str, str] = {}

    def live(self, kind: str) -> int:
        """The most bytes in use at any step. kind: of Bench, "delta" or "full", ", TLS"."""
        return int(self.play(kind, LIVE, "live")[0])

    def works(self, kind: str, left: int) -> bool:
        """True if an update works with so many bytes in one piece."""
        main = FILL
        if kind.endswith("TLS"):
            main = memory.BALLAST_TLS + FILL
            left += BALLAST
        free, done = self.play(kind, main.replace("LEFT", str(left)), "share")
        if not left <= int(free) <= left + 256:
            raise SystemExit(f"{free} bytes are free instead of {left}")
        if done not in ("memory", str(kind.startswith("delta"))):
            raise SystemExit(f"the update ended with {done}")
        return done != "memory"

    def share(self, kind: str) -> int:
        """The fewest bytes from which on an update works.

        Where a heap is cut into pieces is a matter of luck: the next larger ones must do too.
        """
        low, high = 0, _HIGH // _STEP
        while high - low > 1:
            middle = (low + high) // 2
            if self.works(kind, middle * _STEP):
                high = middle
            else:
                low = middle
        luck = high
        while luck < high + _LUCK:
            luck += 1
            if not self.works(kind, luck * _STEP):
                high = luck + 1
        return high * _STEP

    def play(self, kind: str, main: str, word: str) -> list[str]:
        """What main prints behind "BENCH" and word, on a fresh board with all modules loaded."""
        if kind not in self._names:
            self._names[kind] = " ".join(self._run(kind, NAMES, "names"))
        return self._run(kind, LOADED % self._names[kind] + main, word)

    def _run(self, kind, main, word):
        flash = self._board(kind, main, self._before("first"))
        board = sim.Board(flash, heap=_HEAP, restart=False)
        found = None

        def said():
            nonlocal found
            found = re.search(rb"BENCH %s (.*)\r?\n" % word.encode(), board.console)
            return found or b"Error" in board.console

        with board:
            board.wait(said, 60)
        if not found:
            raise SystemExit(board.console.decode(errors="replace"))
        return found[1].decode().split()


def main() -> None:
    """Print the table."""
    p = argparse.ArgumentParser()
    p.add_argument("--strategy", choices=provision.STRATEGIES)
    p.add_argument("--package", choices=PACKAGES)
    p.add_argument("--block", type=int, default=BLOCK, help="of packages and boards (4096)")
    args = p.parse_args()
    print("bytes                  share     live  share, TLS  live, TLS")
    for strategy in provision.STRATEGIES:
        for package in PACKAGES:
            if args.strategy in (None, strategy) and args.package in (None, package):
                with tempfile.TemporaryDirectory() as name:
                    row = measure(Path(name), strategy, package, args.block)
                print(f"{strategy:10} {package:8} {row}", flush=True)


def measure(root: Path, strategy: str, package: str, block: int) -> str:
    """The figures of a package."""
    kind = kind_of(package)
    with Share(root, strategy, *pair(package), block) as bench:
        cells = [(bench.share(k), bench.live(k)) for k in (kind, kind + ", TLS")]
    return " ".join(f"{share:8} {live:8}" for share, live in cells)


def pair(package: str) -> tuple[bytes, bytes]:
    """The images before and after an update by one of PACKAGES."""
    return memory.code() if package == "filter" else memory.images()


def kind_of(package: str) -> str:
    """What Bench calls one of PACKAGES."""
    return "full" if package == "full" else "delta"


if __name__ == "__main__":
    main()
