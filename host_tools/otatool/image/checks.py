"""What is in an application image, and what a board would stumble over: sentences for people.

Images, packages and tables are distinguished by their first bytes; nothing here writes.
"""

import posixpath
from collections.abc import Mapping

from ota import package as fmt

from ..errors import ToolError

MPY_VERSION = 6  # of .mpy files, from MicroPython 1.19 on; the library needs 1.24
# Modules of the firmware. Those in USED are what the library needs.
USED = frozenset(
    "array asyncio binascii deflate errno gc hashlib io json machine micropython ntptime os "
    "random re select socket ssl struct sys time tls uctypes vfs".split()
)
BUILT_IN = USED | frozenset(
    "_asyncio _boot _thread bluetooth btree builtins cmath collections cryptolib esp esp32 "
    "espnow flashbdev framebuf heapq lwip math network neopixel onewire platform pyb rp2 stm "
    "uasyncio".split()
)
_SEARCHED = ("", "lib/")  # of an image: what trial.start() puts on sys.path
_ENDS = ("py", "mpy")
# Architectures of native code, by their number in a .mpy file.
ARCHITECTURES = (
    "", "x86", "x64", "armv6", "armv6m", "armv7m", "armv7em", "armv7emsp", "armv7emdp",
    "xtensa", "xtensawin", "rv32imc", "rv64imc",
)  # fmt: skip
# The first bytes of files that are no image of anything a slot holds.
_OTHERS = (
    (fmt.MAGIC, "a package", "give the image it was made from"),
    (b"RBL\0", "an RT-Thread package (.rbl)", "give the image that it was packed from"),
    (b"-----BEGIN ", "a key or a certificate", "give an image"),
    (b"UF2\n", "UF2, for a bootloader's drive", "give the raw image"),
)
_NOT_FOR_APPS = (
    (b"PK\3\4", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip file"),
    (b"M\x06", "one .mpy file"),
)


def refuse_others(data: bytes, name: str, target: str = "app") -> None:
    """Raise ToolError unless data can be an image of a target.

    Args:
        name: of the file.
    """
    if not data:
        raise ToolError(f"{name} is empty: give an image")
    for magic, what, todo in _OTHERS:
        if data.startswith(magic):
            raise ToolError(f"{name} is {what}, not an image: {todo}")
    if data[:1] == b"{" and b"\nsig " in data[:16384]:
        raise ToolError(f"{name} is a manifest, not an image: give an image")
    for magic, what in _NOT_FOR_APPS if target == "app" else ():
        if data.startswith(magic):
            raise ToolError(f"{name} is {what}: make an image of the folder with otatool image")


def warnings(files: Mapping[str, bytes]) -> list[str]:
    """What a board would stumble over in an application with these files, a sentence each."""
    return [*_main(files), *_names(files), *_code(files)]


def mpy(files: Mapping[str, bytes]) -> int:
    """What the bytecode of an image needs: the version of .mpy, and in bits 8 to 15 the second
    byte of those with native code; 0: nothing, or not one thing (docs/format.md)."""
    heads = {data[1:3] for name, data in files.items() if name.endswith(".mpy") and len(data) > 3}
    versions = {head[0] for head in heads}
    native = {head[1] for head in heads if _arch(head[1])}
    if len(versions) != 1:
        return 0
    return versions.pop() | (native.pop() << 8 if len(native) == 1 else 0)


def needs(number: int) -> str:
    """What mpy() returned, in words."""
    arch = _arch(number >> 8)
    name = ARCHITECTURES[arch] if arch < len(ARCHITECTURES) else f"architecture {arch}"
    return f".mpy version {number & 0xFF}" + (f", native code for {name}" if arch else "")


def check_mpy(name: str, data: bytes) -> str:
    """What is wrong with a .mpy file, "" if nothing is."""
    if len(data) < 4 or data[:1] != b"M":
        return f"{name} is no bytecode, whatever its name says"
    if data[1] < MPY_VERSION:
        return (
            f"{name} is of .mpy version {data[1]}, which no board with this library takes "
            f"(version {MPY_VERSION}): compile it again"
        )
    return ""


def _main(files):
    starts = [f"{m}.{e}" for m in ("main", "main/__init__") for e in _ENDS]
    if not any(folder + m in files for folder in _SEARCHED for m in starts):
        deep = sorted(f for f in files if f.partition("/")[2] in starts)
        if deep:
            inner = deep[0].partition("/")[0]
            yield f"main is one folder too deep, {deep[0]}: make the image of {inner}/ instead"
        else:
            yield (
                "no main.py: nothing in this image starts, unless the configuration names another "
                'module as "main"'
            )
    for name in ("boot.py", "boot.mpy"):
        if name in files:
            yield f"{name} never runs from an image: the firmware's own boot.py starts the board"


def _names(files):
    told = set()
    for path in sorted(files):
        for folder in _SEARCHED:
            if not path.startswith(folder):
                continue
            first, _, rest = path[len(folder) :].partition("/")
            stem, end = posixpath.splitext(first)
            if rest:
                stem, end = first, posixpath.splitext(path)[1]
            if end[1:] not in _ENDS or folder + stem in told:
                continue
            told.add(folder + stem)
            what = folder + (stem + "/" if rest else first)
            if stem == "ota":
                yield f"{what} has the name of the board's own update library: rename it"
            elif stem in USED:
                yield (
                    f"{what} has the name of a module of the firmware that updates need, too: the "
                    "application gets this file instead of it; rename it"
                )
            elif stem in BUILT_IN:
                yield f"{what} has the name of a module of the firmware: rename it"


def _code(files):
    native = set()
    for name, data in sorted(files.items()):
        if name.endswith(".mpy"):
            wrong = check_mpy(name, data)
            if wrong:
                yield wrong
            elif _arch(data[2]):
                native.add(data[2])
    if len(native) > 1:
        words = ", ".join(sorted({needs(n << 8 | MPY_VERSION) for n in native}))
        yield f"native code of several kinds, and a board takes one ({words})"


def _arch(flags):
    return flags >> 2 & 0xF
