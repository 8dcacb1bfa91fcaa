"""bench/share.py without the virtual board: on a MicroPython of the unix port, also a 32-bit one.

    python bench/share_alone.py [--micropython PATH] [--strategy NAME] [--package NAME]
        [--block BYTES]

Objects of 32-bit boards are half as large. Such a build, without TLS, is made of MicroPython's
sources in ports/unix:

    make CC="gcc -m32" LDFLAGS_EXTRA=-static FROZEN_MANIFEST= MICROPY_PY_SSL=0 \\
        MICROPY_SSL_MBEDTLS=0 MICROPY_PY_FFI=0 MICROPY_PY_BTREE=0 MICROPY_PY_THREAD=0 \\
        MICROPY_USE_READLINE=0

The same update over plain HTTP and the same figures; flash is in memory, taken before.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import share
from otatool.product import provision

_HEAP = "4M"
_TIMEOUT_S = 60
_LIB = Path(__file__).parents[1] / "lib"

START = """
import json, sys
sys.path.insert(0, %r)
import ota
class Flash:
    sector_size, program_size = 4096, 8
    blank = bytes([255]) * 4096
    def __init__(self, size):
        self.size = size
        self.view = memoryview(bytearray(size))
        self.erase(0, size)
    def read(self, offset, buf):
        buf[:] = self.view[offset : offset + len(buf)]
    def program(self, offset, data):
        self.view[offset : offset + len(data)] = data
    def erase(self, offset, length):
        for at in range(offset, offset + length, 4096):
            self.view[at : at + 4096] = self.blank
    def sync(self):
        pass
with open(%r) as f:
    config = json.load(f)
nor = Flash(%d)
with open(%r, 'rb') as f:
    image = f.read()
image += bytes([255]) * (-len(image) %% 8)
nor.program(config['partitions']['active']['offset'], image)
image = None
config['flash'] = {'nor': {'driver': nor}}
ota.configure(config)
"""


class Alone(share.Share):
    """As Share; micropython: path of the interpreter."""

    micropython = Path(sys.executable).parent / "micropython"

    def _run(self, kind, main, word):
        place = self._place()
        product = provision.Product("bench", self._strategy, self._old)
        spans = provision.partition(product)
        config = {
            "product": product.name,
            "strategy": self._strategy,
            "version": product.version,
            "url": self._servers[kind].url.rstrip("/") + "/manifest.ota",
            "partitions": {n: {"flash": "nor", "offset": o, "size": s} for n, o, s in spans},
            "keys": [self._key.public],
            "image_size": len(self._old),
            "mount": "",
            **self.config,
        }
        (place / "layout.json").write_text(json.dumps(config))
        (place / "image").write_bytes(self._old)
        start = START % (
            str(_LIB), str(place / "layout.json"), product.size, str(place / "image"),
        )  # fmt: skip
        (place / "main.py").write_text(start + main)
        run = subprocess.run(
            [self.micropython, "-X", "heapsize=" + _HEAP, place / "main.py"],
            capture_output=True, text=True, timeout=_TIMEOUT_S,
        )  # fmt: skip
        found = re.search(rf"BENCH {word} (.*)", run.stdout)
        if not found:
            raise SystemExit(run.stdout + run.stderr)
        return found[1].split()


def main() -> None:
    """Print the table."""
    p = argparse.ArgumentParser()
    p.add_argument("--micropython", type=Path, default=Alone.micropython)
    p.add_argument("--strategy", choices=provision.STRATEGIES)
    p.add_argument("--package", choices=share.PACKAGES)
    p.add_argument("--block", type=int, default=share.BLOCK)
    args = p.parse_args()
    Alone.micropython = args.micropython
    print("bytes                  share     live")
    for strategy in provision.STRATEGIES:
        for package in share.PACKAGES:
            if args.strategy in (None, strategy) and args.package in (None, package):
                with tempfile.TemporaryDirectory() as name:
                    with Alone(Path(name), strategy, *share.pair(package), args.block) as bench:
                        kind = share.kind_of(package)
                        row = f"{bench.share(kind):8} {bench.live(kind):8}"
                print(f"{strategy:10} {package:8} {row}", flush=True)


if __name__ == "__main__":
    main()
