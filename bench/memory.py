"""Smallest heap of each stage, on the virtual board: real MicroPython, 64-bit objects, .mpy.

    python bench/memory.py [--image APPDIR] [--step 2]

For every strategy: boot (import, table, state, slot choice, mount), a whole update over plain
HTTP without the application, and the apply by the boot stage. Bisects `-X heapsize=`; a figure
is the smallest heap that works, everything included: the port's start-up, the root littlefs,
the library loaded from .mpy. 32-bit boards need less: objects are half the size there.
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


def smallest(make, expected: str, low: int = 8, high: int = 256) -> int:
    """Smallest heap in KB at which make()'s board works; 0 if none does."""
    if not works(make(), high, expected):
        return 0
    while high - low > 1:
        middle = (low + high) // 2
        if works(make(), middle, expected):
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
        print(f"{'strategy':10} {'boot':>8} {'update':>8} {'apply':>8}   (KB of heap)")
        for strategy in provision.STRATEGIES:
            if args.strategy in (None, strategy):
                row = measure(root, strategy, old, new)
                print(f"{strategy:10} " + " ".join(f"{n:8}" for n in row))


def applications(root: Path, folder: str | None) -> tuple[bytes, bytes]:
    """Two versions of an application: this project's host tools stand in for a large one."""
    app = root / "app"
    app.mkdir()
    sources = Path(folder) if folder else Path(publish.__file__).parents[2] / "lib" / "ota"
    for path in sorted(sources.rglob("*.py")):
        target = app / "lib" / "other" / path.relative_to(sources)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    (app / "main.py").write_text("VERSION = '0.1'\n")
    old = image.build(app)
    (app / "main.py").write_text("VERSION = '0.2'\nNOTE = 'a line more'\n")
    return old, image.build(app)


def measure(root: Path, strategy: str, old: bytes, new: bytes) -> tuple[int, int, int]:
    """Heap in KB of boot, update, apply."""
    folder = root / strategy
    signing = folder / "bench.pem"
    folder.mkdir()
    key = keys.generate("rsa")
    signing.write_bytes(key.secret_file())
    www = folder / "www"
    for version, data in (("0.1", old), ("0.2", new)):
        publish.publish(www, data, publish.Release("bench", version), [key])
    server = serve.start(www)
    count = 0

    def board(main_py: str, flash: bytes | None = None) -> Path:
        nonlocal count
        count += 1
        place = folder / str(count)
        place.mkdir()
        (place / "bench.pem").write_bytes(key.secret_file())
        url = server.url.rstrip("/") + "/manifest.ota"
        product = provision.Product("bench", strategy, old, url=url)
        done = provision.provision(place, product)
        layout = json.loads(done.layout.read_text())
        rom = firmware.build(layout, main=main_py)
        data = bytearray(flash or done.flash.read_bytes())
        spans = {n: (o, s) for n, o, s in done.partitions}
        at, size = spans["firmware"]
        data[at : at + size] = rom + b"\xff" * (size - len(rom))
        done.flash.write_bytes(data)
        return done.flash

    try:
        boot = smallest(lambda: board(BOOT_ONLY), "done")
        update = smallest(lambda: board(UPDATE), "done ready")
        ready = board(UPDATE)
        if not works(ready, 512, "done ready"):
            return boot, update, 0
        staged = ready.read_bytes()
        apply = smallest(lambda: board(CONFIRM, staged), "done TRIAL 0.2")
        return boot, update, apply
    finally:
        server.close()


if __name__ == "__main__":
    main()
