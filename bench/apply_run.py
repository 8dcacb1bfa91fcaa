"""Real MicroPython, its modules in a ROMFS, run in a heap of a given size."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from otatool.sim import firmware

_HEAP_MAX = 4 << 20  # bytes, of the search for the smallest heap
_STEP = 32
# The interpreter runs in a process of Python, so that the ROMFS is mapped memory and not heap.
_CHILD = """
import ctypes, mmap, sys
extension, rom, heap, start = sys.argv[1:5]
with open(rom, "r+b") as f:
    rom = mmap.mmap(f.fileno(), 0)
address = ctypes.addressof(ctypes.c_char.from_buffer(rom))
sys.path.insert(0, extension)
import micropython_run
sys.exit(micropython_run.run_main(
    ["micropython", "-X", "heapsize=" + heap, "-c", start % (address, len(rom))] + sys.argv[5:]))
"""
_START = """
import sys, uctypes, vfs
vfs.mount(vfs.VfsRom(memoryview(uctypes.bytearray_at(%d, %d))), "/rom")
sys.path[:] = ["/rom"]
import apply_board
apply_board.main(*sys.argv[1:])
"""


class Firmware:
    """Files of a board as a ROMFS at path, apply_board.py among them; .py is compiled."""

    def __init__(self, path: Path, files: dict[str, bytes]):
        board = Path(__file__).with_name("apply_board.py").read_bytes()
        path.write_bytes(firmware.romfs({**files, "apply_board.py": board}))
        self._path = path
        spec = find_spec("micropython_run")
        assert spec and spec.origin
        self._extension = Path(spec.origin).parent

    def run(self, heap: int, *args: str) -> list[str] | None:
        """Lines that apply_board.main(*args) prints; None if it does not come to its end.

        heap: bytes.
        """
        run = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _CHILD, str(self._extension)]
            + [str(self._path), str(heap), _START, *args],
            capture_output=True,
            text=True,
        )
        lines = run.stdout.splitlines()
        return lines[:-1] if lines[-1:] == ["done"] else None

    def memory(self, *what: str) -> int:
        """Bytes of heap that an apply takes, beyond what importing its modules takes.

        what: folder, name and way, see apply_board.py.
        """
        lines = self.run(_HEAP_MAX, "modules", *what)
        if lines is None:
            raise SystemExit(f"{' '.join(what)} does not apply")
        modules = lines[-1].split()
        return self._smallest("peak", *what, *modules) - self._smallest("import", *what, *modules)

    def _smallest(self, *args):
        low, high = 4096, _HEAP_MAX
        while high - low > _STEP:
            middle = (low + high) // 2
            if self.run(middle, *args) is None:
                low = middle
            else:
                high = middle
        return high
