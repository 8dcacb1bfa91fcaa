"""detools beside ours, on MicroPython: its own Python code, with stand-ins for what is not there.

detools 0.53 applies a patch in Python: control, decompression of crle and reading are; only the
addition of bytes is C, which stands here as a loop of Python, or of machine code. Its heatshrink
is a C library: heatshrinkpy has the same in Python. The rest of what apply.py imports (lzma, bz2,
lz4, zstandard, the formats of data) is left out. What is not on PyPI was not looked for, and what
is there (micropython-ota and others) replaces whole files.
"""

import io
import statistics
import zipfile
from pathlib import Path

from apply_run import Firmware
from delta_pairs import Pair, fetch

try:
    import detools
except ImportError:
    detools = None

COMPRESSIONS = ("crle", "heatshrink")
_HEATSHRINKPY = "0.11.1"
_WINDOW = 10  # of heatshrink, log2: as ours
_HEAP = 4 << 20

_FILES = ("apply.py", "common.py", "errors.py", "compression/crle.py", "compression/none.py",
          "compression/heatshrink.py")  # fmt: skip
_ADD = {
    "plain": """
def add_bytes(a, b):
    return bytes([(x + y) & 255 for x, y in zip(a, b)])
""",
    "viper": """
import micropython

@micropython.viper
def _add(a_buf, b_buf, n: int):
    a = ptr8(a_buf)
    b = ptr8(b_buf)
    for i in range(n):
        a[i] = int(a[i]) + int(b[i])

def add_bytes(a, b):
    out = bytearray(a)
    _add(out, b, min(len(a), len(b)))
    return out
""",
}
_STAND_INS = {
    "os.py": "SEEK_SET, SEEK_CUR, SEEK_END = 0, 1, 2\n",
    "lzma.py": "LZMADecompressor = None\n",
    "bz2.py": "BZ2Decompressor = None\n",
    "bitstruct.py": """
def unpack(form, data):
    high, low = data[0] >> 4, data[0] & 15
    return (high, low) if form == "u4u4" else (high & 7, low)
""",
    "enum.py": """
class Enum:
    last = 0

def auto():
    Enum.last += 1
    return Enum.last
""",
    "typing.py": """
class Any:
    def __getitem__(self, key):
        return self

Optional = Tuple = List = Any()
""",
    "heatshrink2/__init__.py": "",
    "heatshrink2/core.py": "from heatshrinkpy.core import *\n",
    "heatshrinkpy/__init__.py": "",
    "detools/__init__.py": "",
    "detools/hdiffpatch.py": "",
    "detools/data_format.py": "create_readers = None\n",
    "detools/compression/__init__.py": "",
    "detools/compression/lz4.py": "Lz4Decompressor = None\n",
    "detools/compression/zstd.py": "ZstdDecompressor = None\n",
}


def firmware(path: Path, cache: Path, code: str) -> Firmware:
    """A board with detools. code: "plain" or "viper"."""
    files = {name: text.encode() for name, text in _STAND_INS.items()}
    files["detools/bsdiff.py"] = ("pack_size = None\n" + _ADD[code]).encode()
    installed = Path(detools.__file__).parent
    for name in _FILES:
        files["detools/" + name] = (installed / name).read_bytes()
    with zipfile.ZipFile(fetch(cache, "heatshrinkpy", _HEATSHRINKPY, False)) as wheel:
        for name in wheel.namelist():
            if name.startswith("heatshrinkpy/core/"):
                files[name] = wheel.read(name)
    return Firmware(path, files)


def print_table(root: Path, cache: Path, pairs: list[tuple[Pair, Path]], repeats: int) -> None:
    """A line per pair and compression. pairs: with the folder that has their old and new."""
    if detools is None:
        print("detools is not installed: nothing beside ours")
        return
    boards = {code: firmware(root / f"detools {code}", cache, code) for code in _ADD}
    heads = " ".join(f"{code + ' ns/B':>10} {'x':>6} {'memory':>7}" for code in boards)
    print(f"{'detools':26} {'':10} {'patch':>7} {heads}")
    for pair, folder in pairs:
        for compression in COMPRESSIONS:
            _print_row(boards, pair, folder, compression, repeats)


def _print_row(boards, pair: Pair, folder: Path, compression, repeats):
    patch = io.BytesIO()
    detools.create_patch(
        io.BytesIO(pair.old), io.BytesIO(pair.new), patch, compression, use_mmap=False,
        heatshrink_window_sz2=_WINDOW,
    )  # fmt: skip
    (folder / f"{compression}.raw").write_bytes(patch.getvalue())
    cells = []
    for board in boards.values():
        lines = board.run(_HEAP, "detools", str(folder), str(repeats), compression)
        if lines is None:
            cells.append("it does not run")
            continue
        took = [[int(n) for n in line.split()] for line in lines]
        per_byte = statistics.median(t for _, t in took) / len(pair.new)
        times = statistics.median(t / floor for floor, t in took)
        memory = board.memory(str(folder), compression, "detools")
        cells.append(f"{per_byte:10.1f} {times:6.0f} {memory:7}")
    name = f"{pair.family} {pair.name}"
    print(f"{name:26} {compression:10} {len(patch.getvalue()):7} {' '.join(cells)}", flush=True)
