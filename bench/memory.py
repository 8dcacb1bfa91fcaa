"""Smallest heap of each stage, on the virtual board: real MicroPython, 64-bit objects, .mpy.

    python bench/memory.py [--image APPDIR] [--strategy NAME]

For every strategy: a start (import, table, state, slot choice, mount), the first start of all
(formats the KV, writes the first record), a whole update over plain HTTP without the
application, and the apply by the boot stage. Bisects `-X heapsize=`; a figure is the smallest
heap that works, everything included: the port's start-up, the root littlefs, the library
loaded from .mpy. 32-bit boards need less: objects are half the size there. docs/memory.md has
the figures reached; tests/host/test_memory.py holds them.
"""

import argparse
import json
import tempfile
from pathlib import Path

from otatool import image, keys, provision, publish, serve, sim
from otatool.sim import firmware

BOOT_ONLY = "print('BENCH', 'done')\n"
UPDATE = """
import ota
try:
    print('BENCH', 'done', ota.check_and_update()['result'])
except MemoryError:
    print('BENCH', 'memory')
"""
CONFIRM = """
import ota
s = ota.status()
print('BENCH', 'done', s['state'], s['version'])
"""

# stage: its main.py, what it prints when it works, the stage whose flash it begins with
STAGES = {
    "start": (BOOT_ONLY, "done", "first"),
    "first": (BOOT_ONLY, "done", None),
    "update": (UPDATE, "done ready", "first"),
    "apply": (CONFIRM, "done TRIAL 0.2", "update"),
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
    """Smallest heap in KB at which a stage works; 0 if it does at none."""
    if not bench.passes(stage, high):
        return 0
    while high - low > 1:
        middle = (low + high) // 2
        if bench.passes(stage, middle):
            high = middle
        else:
            low = middle
    return high


def main() -> None:
    """Print the table."""
    p = argparse.ArgumentParser()
    p.add_argument("--image", help="folder of the application (default: 60 KB of sources)")
    p.add_argument("--strategy", choices=provision.STRATEGIES)
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        old, new = applications(root, args.image)
        print(f"image {len(old)} > {len(new)} bytes")
        names = " ".join(f"{name:>8}" for name in STAGES)
        print(f"{'strategy':10} {names}   (KB of heap)")
        for strategy in provision.STRATEGIES:
            if args.strategy in (None, strategy):
                with Bench(root, strategy, old, new) as bench:
                    row = [smallest(bench, stage) for stage in STAGES]
                print(f"{strategy:10} " + " ".join(f"{n:8}" for n in row))


def applications(root: Path, folder: str | None) -> tuple[bytes, bytes]:
    """Two versions of an application: this project's host tools stand in for a large one."""
    app = root / "app"
    app.mkdir()
    sources = Path(folder) if folder else Path(publish.__file__).parents[2] / "lib" / "ota"
    for path in sorted(sources.rglob("*.py")):
        if "viper" in path.name:
            continue  # machine code, of one architecture
        target = app / "lib" / "other" / path.relative_to(sources)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    (app / "main.py").write_text("VERSION = '0.1'\n")
    old = image.build(app)
    (app / "main.py").write_text("VERSION = '0.2'\nNOTE = 'a line more'\n")
    return old, image.build(app)


class Bench:
    """A strategy's boards, one for each try, and the server they ask."""

    def __init__(self, root: Path, strategy: str, old: bytes, new: bytes):
        self._folder = root / strategy
        self._folder.mkdir()
        self._strategy = strategy
        self._old = old
        self._key = keys.generate("rsa")
        www = self._folder / "www"
        for version, data in (("0.1", old), ("0.2", new)):
            publish.publish(www, data, publish.Release("bench", version), [self._key])
        self._server = serve.start(www)
        self._count = 0
        self._flash: dict[str | None, bytes | None] = {None: None}

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self._server.close()

    def passes(self, stage: str, heap: int) -> bool:
        """True if a stage works with that heap in KB."""
        main, expected, before = STAGES[stage]
        return works(self._board(main, self._before(before)), heap, expected)

    def _before(self, stage):
        # The flash with which a stage begins is the one that the stage before leaves.
        if stage not in self._flash:
            main, expected, before = STAGES[stage]
            flash = self._board(main, self._before(before))
            if not works(flash, 512, expected):
                raise SystemExit(f"{stage} does not work at all")
            self._flash[stage] = flash.read_bytes()
        return self._flash[stage]

    def _board(self, main, flash):
        self._count += 1
        place = self._folder / str(self._count)
        place.mkdir()
        (place / "bench.pem").write_bytes(self._key.secret_file())
        url = self._server.url.rstrip("/") + "/manifest.ota"
        product = provision.Product("bench", self._strategy, self._old, url=url)
        done = provision.provision(place, product)
        rom = firmware.build(json.loads(done.layout.read_text()), main=main)
        data = bytearray(flash or done.flash.read_bytes())
        spans = {n: (o, s) for n, o, s in done.partitions}
        at, size = spans["firmware"]
        data[at : at + size] = rom + b"\xff" * (size - len(rom))
        done.flash.write_bytes(data)
        return done.flash


if __name__ == "__main__":
    main()
