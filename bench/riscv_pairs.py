"""Build pairs of RISC-V firmware for bench/delta.py --own.

    python bench/riscv_pairs.py MICROPYTHON MICROPYTHON_LIB OUT

Builds MicroPython's QEMU port (board VIRT_RV32, rv32imac) at several releases, out of git
checkouts of micropython and micropython-lib that have their tags. Needs gcc, make and Debian's
gcc-riscv64-unknown-elf with picolibc-riscv64-unknown-elf. Nothing runs: the images lie as those
of real chips do, like an RP2350's (one piece at 0x10000000, RAM at 0x20000000) or an ESP32-C3's
(image of segments: data at 0x3C000000, RAM, code at 0x42000000). OUT gets NAME.old and NAME.new.
"""

import argparse
import hashlib
import os
import struct
import subprocess
from pathlib import Path
from typing import NamedTuple

_TOOLS = "riscv64-unknown-elf-"
# The libraries of Debian's compiler are not found for rv32imac_zicsr, which is the same in the
# older specification.
_ARCH = "RV32_ARCH=rv32imac -misa-spec=2.2"
_RP2350 = """
MEMORY { ROM : ORIGIN = 0x10000000, LENGTH = 4M  RAM : ORIGIN = 0x20000000, LENGTH = 512K }
SECTIONS {
    .text : { *(.start) *(.text .text.*) . = ALIGN(4); } > ROM
    .rodata : { *(.rodata .rodata.* .srodata .srodata.*) . = ALIGN(4); } > ROM
"""
_ESP32C3 = """
MEMORY { ROM : ORIGIN = 0x42000100, LENGTH = 4M  RAM : ORIGIN = 0x3FC90000, LENGTH = 320K
         DATA : ORIGIN = 0x3C0A0020, LENGTH = 4M }
SECTIONS {
    .text : { *(.start) *(.text .text.*) . = ALIGN(4); } > ROM
    .rodata : { *(.rodata .rodata.* .srodata .srodata.*) . = ALIGN(4); } > DATA
"""
_RAM = """
    .data : {
        *(.data .data.*) _global_pointer = .; __global_pointer$ = . + 0x800;
        *(.sdata .sdata.*) . = ALIGN(4); _sibss = .;
    } > RAM %s
    .bss (NOLOAD) : {
        _sbss = .; *(.sbss .sbss.* .bss .bss.* COMMON) . = ALIGN(4); _ebss = .;
    } > RAM
    .stack (NOLOAD) : ALIGN(16) { _sstack = .; . = . + 16K; _estack = .; } > RAM
}
"""
_LAYOUTS = {"rp2350": _RP2350 + _RAM % "AT > ROM", "esp32c3": _ESP32C3 + _RAM % ""}
_CODE, _DATA, _VARIABLES = 0x42000100, 0x3C0A0020, 0x3FC90000  # of _ESP32C3


class Build(NamedTuple):
    """A release or commit in a layout; flags: of the compiler, besides the usual ones."""

    version: str
    layout: str = "rp2350"
    flags: str = ""


_MEDANY = "-mcmodel=medany"
_FIX = ("aaa30abbcd", "c199ba9f71")  # py/objexcept: one fix, and what lies before it
_PAIRS = {
    "rp2350 1.26.0 1.27.0": (Build("v1.26.0"), Build("v1.27.0")),
    "rp2350 1.27.0 1.28.0": (Build("v1.27.0"), Build("v1.28.0")),
    "rp2350 one fix": (Build(_FIX[0]), Build(_FIX[1])),
    "rp2350 1.28.0 no cmath": (
        Build("v1.28.0"),
        Build("v1.28.0", flags="-DMICROPY_PY_CMATH=0"),
    ),
    "medany 1.27.0 1.28.0": (
        Build("v1.27.0", flags=_MEDANY),
        Build("v1.28.0", flags=_MEDANY),
    ),
    "esp32c3 1.27.0 1.28.0": (Build("v1.27.0", "esp32c3"), Build("v1.28.0", "esp32c3")),
    "esp32c3 one fix": (Build(_FIX[0], "esp32c3"), Build(_FIX[1], "esp32c3")),
}


def image(micropython: Path, lib: Path, folder: Path, build: Build) -> bytes:
    """The image of a build; what is made on the way stays in folder."""
    tree = _checkout(micropython, folder / build.version, build.version)
    wanted = _output("git", "-C", tree, "ls-tree", "HEAD", "lib/micropython-lib").split()[2]
    library = _checkout(lib, folder / f"lib-{wanted}", wanted)
    if not (tree / "mpy-cross" / "build" / "mpy-cross").exists():
        _run("make", "-C", tree / "mpy-cross", "-j2")
    out = folder / "-".join(x for x in (build.version, build.layout, build.flags) if x)
    if not (out / "firmware.elf").exists():
        out.mkdir(exist_ok=True)
        script = out / "layout.ld"
        script.write_text(_LAYOUTS[build.layout])
        frozen = out / "manifest.py"
        frozen.write_text(
            'include("$(MPY_DIR)/extmod/asyncio")\n'
            'for name in ("argparse", "datetime", "logging", "unittest"):\n    require(name)\n'
        )
        _run(
            "make", "-C", tree / "ports" / "qemu", "-j2", "BOARD=VIRT_RV32", _ARCH, f"BUILD={out}",
            f"LDSCRIPT={script}", f"FROZEN_MANIFEST={frozen}", f"MPY_LIB_DIR={library}",
            f"CFLAGS_EXTRA={build.flags}", f"{out}/firmware.elf",
        )  # fmt: skip
    if build.layout == "rp2350":
        return _sections(out, ".start", ".text", ".rodata", ".data")
    return _segments(
        _DATA, _sections(out, ".rodata"),
        _VARIABLES, _sections(out, ".data"),
        _CODE, _sections(out, ".start", ".text"),
    )  # fmt: skip


def _segments(*parts) -> bytes:
    """Addresses and bytes as an application image of the ESP32-C3: mapped ones begin at the
    same place of a 64 KB page as their address does."""
    out = bytearray(struct.pack("<BBBBI16s", 0xE9, 0, 2, 0x2F, _CODE, bytes(16)))
    checksum = 0xEF
    for address, data in zip(parts[::2], parts[1::2], strict=True):
        gap = (address - len(out) - 8) % 0x10000 if address != _VARIABLES else 0
        if gap:
            out += struct.pack("<II", 0, gap - 8) + bytes(gap - 8)
            out[1] += 1
        out += struct.pack("<II", address, len(data)) + data
        out[1] += 1
        for byte in data:
            checksum ^= byte
    out += bytes(-(len(out) + 1) % 16) + bytes((checksum,))
    return bytes(out) + hashlib.sha256(out).digest()


def _sections(out, *names):
    path = out / "part.bin"
    chosen = [x for name in names for x in ("-j", name)]
    _run(_TOOLS + "objcopy", "-O", "binary", *chosen, out / "firmware.elf", path)
    return path.read_bytes()


def _checkout(source, path, version):
    if not path.exists():
        _run("git", "clone", "-q", "--shared", "--no-checkout", source.resolve(), path)
        _run("git", "-C", path, "checkout", "-q", "--detach", version)
    return path


def _run(*command):
    # The date is in the image.
    env = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL, env=env)


def _output(*command):
    return subprocess.run(
        list(map(str, command)), check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def main() -> None:
    """Build all pairs."""
    p = argparse.ArgumentParser()
    p.add_argument("micropython", type=Path)
    p.add_argument("lib", type=Path)
    p.add_argument("out", type=Path)
    args = p.parse_args()
    folder = args.out.resolve() / "build"
    folder.mkdir(parents=True, exist_ok=True)
    for name, pair in _PAIRS.items():
        old, new = (image(args.micropython, args.lib, folder, build) for build in pair)
        (args.out / f"{name}.old").write_bytes(old)
        (args.out / f"{name}.new").write_bytes(new)
        print(f"{name:24} {len(old):7} {len(new):7}", flush=True)


if __name__ == "__main__":
    main()
