"""The board's files: FLASH, the raw bytes of its flash, and FLASH.board, its control page.

The control page says what the chip is and counts what was done to it; board/_control.py
lists its words.
"""

import contextlib
import mmap
import os
import pathlib
import secrets
import time

from ..errors import ToolError
from . import firmware as _firmware
from .board import _control as c
from .posix import fcntl

_PARTITIONS = ("firmware", "fs")
_LOCK_S = 2


def create(
    path: str | os.PathLike,
    layout: dict,
    size: int = 1 << 20,
    sector: int = 4096,
    program: int = 8,
    firmware: bytes | None = None,
    contents: dict[str | int, bytes] | None = None,
    unique_id: bytes | None = None,
) -> None:
    """Make a new board: write FLASH and FLASH.board; what was there before is replaced.

    Args:
        path: FLASH.
        layout: as in layout.json; its "partitions" need "firmware" and "fs".
        size, sector, program: bytes of flash, of a sector, of a program unit.
        firmware: ROMFS image; default: firmware.build(layout).
        contents: bytes to start with, by partition name or by offset.
        unique_id: 8 bytes; default: random.

    Raises:
        ToolError: the layout does not fit the flash, or contents do not fit the layout.
    """
    if program & (program - 1) or sector % program or size % sector or sector > c.FF_SIZE:
        raise ToolError(
            f"flash of {size} bytes with sectors of {sector} and units of {program}: sizes must "
            f"divide each other, and a sector can have at most {c.FF_SIZE} bytes"
        )
    parts = partitions(layout, size, sector)
    flash = bytearray(b"\xff") * size
    everything: dict[str | int, bytes] = {"firmware": firmware or _firmware.build(layout)}
    everything.update(contents or {})
    for where, data in everything.items():
        if isinstance(where, int):
            offset, room = where, size - where
        elif where in parts:
            offset, room = parts[where]
        else:
            raise ToolError(f'the layout has no partition "{where}"; it has {", ".join(parts)}')
        if len(data) > room:
            raise ToolError(f"{where}: {len(data)} bytes do not fit into {room}")
        flash[offset : offset + len(data)] = data

    control = bytearray(c.WEAR_OFFSET + 4 * (size // sector))
    control[c.FF_OFFSET : c.FF_OFFSET + c.FF_SIZE] = b"\xff" * c.FF_SIZE
    words = memoryview(control)[: 8 * c.WORDS].cast("Q")
    words[c.W_MAGIC], words[c.W_SIZE] = c.MAGIC, size
    words[c.W_SECTOR], words[c.W_PROGRAM] = sector, program
    words[c.W_ROM_OFFSET], words[c.W_ROM_SIZE] = parts["firmware"]
    words[c.W_FS_OFFSET], words[c.W_FS_SIZE] = parts["fs"]
    words[c.W_ID] = int.from_bytes((unique_id or secrets.token_bytes(8))[:8], "little")
    path = pathlib.Path(path)
    # Without its page a flash file is no board, so the page goes last.
    _page(path).unlink(missing_ok=True)
    _replace(path, flash)
    _replace(_page(path), control)


def partitions(layout: dict, size: int, sector: int) -> dict[str, tuple[int, int]]:
    """Offset and size of the layout's partitions by name.

    Raises:
        ToolError: one is missing, is outside the flash or overlaps another.
    """
    parts = {}
    try:
        for name, part in layout.get("partitions", {}).items():
            parts[name] = (_number(part["offset"]), _number(part["size"]))
    except (AttributeError, KeyError, TypeError, ValueError) as e:
        raise ToolError(
            'each of "partitions" is {"flash": NAME, "offset": BYTES, "size": BYTES}'
        ) from e
    for name in _PARTITIONS:
        if name not in parts:
            raise ToolError(f'the layout needs a partition "{name}" for the virtual board')
        if parts[name][0] % sector or parts[name][1] % sector:
            raise ToolError(f'partition "{name}" must begin and end on a sector ({sector} bytes)')
    end, before = 0, ""
    for name, (offset, length) in sorted(parts.items(), key=lambda item: item[1]):
        if offset < end:
            raise ToolError(f'partitions "{before}" and "{name}" overlap')
        end, before = offset + length, name
        if length <= 0 or end > size:
            raise ToolError(f'partition "{name}" does not fit into {size} bytes of flash')
    return parts


class Chip:
    """FLASH and its control page, open and locked against a second launcher.

    Attributes: flash (a map of the file), words (of 64 bits), wear (erases of each sector).
    """

    def __init__(self, path: str | os.PathLike):
        path = pathlib.Path(path)
        if not path.exists() or not _page(path).exists():
            raise ToolError(f"{path} is not a virtual board; otatool sim --create makes one")
        with contextlib.ExitStack() as stack:
            self._flash_file = stack.enter_context(open(path, "r+b"))
            self._page_file = stack.enter_context(open(_page(path), "r+b"))
            self._lock(path)
            self._page = mmap.mmap(self._page_file.fileno(), 0)
            self.words = memoryview(self._page)[: 8 * c.WORDS].cast("Q")
            size, sector = self.words[c.W_SIZE], self.words[c.W_SECTOR]
            if self.words[c.W_MAGIC] != c.MAGIC or os.path.getsize(path) != size:
                raise ToolError(f"{_page(path)} does not belong to {path}; create the board again")
            wear = memoryview(self._page)[c.WEAR_OFFSET :]
            self.wear = wear[: 4 * (size // sector)].cast("I")
            self.flash = mmap.mmap(self._flash_file.fileno(), size)
            stack.pop_all()

    @property
    def descriptors(self) -> tuple[int, int]:
        """Of the flash and of the control page, for the board's process."""
        return self._flash_file.fileno(), self._page_file.fileno()

    @property
    def rom(self) -> tuple[int, int]:
        """Offset and size of the firmware."""
        return self.words[c.W_ROM_OFFSET], self.words[c.W_ROM_SIZE]

    def counters(self) -> dict:
        """What was done to the flash and to the board since it was made."""
        words = self.words
        return {
            "programs": words[c.W_PROGRAMS],
            "programmed_bytes": words[c.W_PROGRAMMED],
            "erases": words[c.W_ERASES],
            "wear": list(self.wear),
            "boots": words[c.W_BOOTS],
            "resets": words[c.W_RESETS],
            "soft_resets": words[c.W_SOFT_RESETS],
            "wdt_resets": words[c.W_WDT_RESETS],
            "power_cuts": words[c.W_POWER_CUTS],
            "crashes": words[c.W_CRASHES],
            "operations": words[c.W_OPERATIONS],
            "peak_heap": words[c.W_PEAK],
        }

    def close(self) -> None:
        """Release the files and the lock."""
        self.words.release()
        self.wear.release()
        self._page.close()
        self.flash.close()
        self._flash_file.close()
        self._page_file.close()

    def _lock(self, path):
        # The board's process shares the lock: after a killed launcher it is free only when
        # that process is gone too.
        deadline = time.monotonic() + _LOCK_S
        while True:
            try:
                return fcntl.flock(self._page_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ToolError(f"{path} is already running; stop that one first") from None
                time.sleep(0.02)


def _page(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(path.name + ".board")


def _number(value: int | str) -> int:
    return int(value, 0) if isinstance(value, str) else value


def _replace(path: pathlib.Path, data: bytearray) -> None:
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    os.replace(part, path)
