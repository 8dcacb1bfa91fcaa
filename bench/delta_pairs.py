"""Pairs of real images that everybody can get, for bench/delta.py: from PyPI and npm by version.

Thumb     micro:bit runtimes in the sdists of uflash; PYBv1.1 firmware, shell and synthesizer in
          the test files of detools
Xtensa    ESP8266 firmware, there too
wasm      MicroPython for webassembly
mpy, src  ROMFS images of microdot, compiled and as source; the application of the demo
"""

import io
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from otatool.demo import application
from otatool.image import build as image

MICROBIT = ("1.0.0b1", "1.0.0", "1.0.8", "1.1.0", "1.2.0", "1.2.4")
MICROBIT_PAIRS = ((0, 1), (1, 2), (2, 3), (3, 5), (3, 4), (4, 5))
MICRODOT = ("2.5.1", "2.6.0", "2.6.1", "2.6.2", "2.7.0")
WASM = (("1.24.0", "1.24.1"), ("1.26.0", "1.27.0"))
DETOOLS = "0.53.0"
_WASM = "@micropython/micropython-webassembly-pyscript"


class Pair(NamedTuple):
    """family: "thumb", "microbit" (Thumb too), "xtensa", "wasm", "mpy", "src"."""

    family: str
    name: str
    old: bytes
    new: bytes


def pairs(cache: Path) -> Iterator[Pair]:
    """All pairs; what is fetched stays in cache."""
    cache.mkdir(parents=True, exist_ok=True)
    runtimes = [_microbit(cache, v) for v in MICROBIT]
    for a, b in MICROBIT_PAIRS:
        yield Pair("microbit", f"mb {MICROBIT[a]} {MICROBIT[b]}", runtimes[a], runtimes[b])
    with tarfile.open(fetch(cache, "detools", DETOOLS, True)) as tar:

        def data(path):
            return tar.extractfile(f"detools-{DETOOLS}/tests/files/{path}").read()

        pyb = [
            data(f"pybv11/{v}/firmware1.bin") for v in ("v1.10", "1f5d945af-dirty", "1f5d945af")
        ]
        yield Pair("thumb", "pyb v1.10 dirty", pyb[0], pyb[1])
        yield Pair("thumb", "pyb dirty clean", pyb[1], pyb[2])
        yield Pair("thumb", "shell", data("shell/old"), data("shell/new"))
        synth = [data(f"synthesizer/{n}.bin") for n in (1, 2, 3)]
        yield Pair("thumb", "synth 1 2", synth[0], synth[1])
        yield Pair("thumb", "synth 2 3", synth[1], synth[2])
        yield Pair(
            "xtensa", "esp8266 1.9.4 1.10",
            data("micropython/esp8266-20180511-v1.9.4.bin"),
            data("micropython/esp8266-20190125-v1.10.bin"),
        )  # fmt: skip
    for old, new in WASM:
        yield Pair("wasm", f"wasm {old} {new}", _wasm(cache, old), _wasm(cache, new))
    for family, compiled in (("mpy", True), ("src", False)):
        images = [_microdot(cache, v, compiled) for v in MICRODOT]
        for i in range(1, len(images)):
            name = f"microdot {MICRODOT[i - 1]} {MICRODOT[i]}"
            yield Pair(family, name, images[i - 1], images[i])
    demo = application.images()
    yield Pair("mpy", "demo 0.1 0.2", demo[application.OLD], demo[application.NEW])


def local(folder: Path) -> Iterator[Pair]:
    """Pairs NAME.old and NAME.new of a folder."""
    for old in sorted(folder.glob("*.old")):
        yield Pair("own", old.stem, old.read_bytes(), old.with_suffix(".new").read_bytes())


def fetch(cache, name, version, source):
    """Path of a package in the cache: its sdist if source, else its wheel. From PyPI."""
    pattern = f"{name}-{version}.tar.gz" if source else f"{name}-{version}-*.whl"
    found = list(cache.glob(pattern))
    if not found:
        kind = ["--no-binary", ":all:"] if source else ["--only-binary", ":all:"]
        # pip builds metadata of an sdist; what is wanted is the file alone.
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "-q", "--no-deps", *kind]
            + ["-d", str(cache), f"{name}=={version}"],
            check=True,
        )  # fmt: skip
        found = list(cache.glob(pattern))
    return found[0]


def _microbit(cache, version):
    from intelhex import IntelHex  # of ".[bench]"; who only wants other pairs goes without

    with tarfile.open(fetch(cache, "uflash", version, True)) as tar:
        text = tar.extractfile(f"uflash-{version}/uflash.py").read().decode()
    # The longest text in triple quotes is the runtime as Intel HEX.
    hexes = max(re.findall(r'"""(.*?)"""', text, re.S), key=len)
    records = IntelHex()
    records.loadhex(io.StringIO("".join(f"{x}\n" for x in hexes.split() if x[0] == ":")))
    end = max(e for _, e in records.segments() if e < 0x10000000)
    return records.tobinstr(start=0, end=end - 1)


def _wasm(cache, version):
    name = f"micropython-micropython-webassembly-pyscript-{version}.tgz"
    if not (cache / name).exists():
        subprocess.run(["npm", "pack", "--silent", f"{_WASM}@{version}"], cwd=cache, check=True,
                       stdout=subprocess.DEVNULL)  # fmt: skip
    with tarfile.open(cache / name) as tar:
        return tar.extractfile("package/micropython.wasm").read()


def _microdot(cache, version, compiled):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "app"
        with zipfile.ZipFile(fetch(cache, "microdot", version, False)) as wheel:
            for member in wheel.namelist():
                if member.startswith("microdot/") and member.endswith(".py"):
                    wheel.extract(member, folder)
        return image.build(folder, mpy=compiled)
