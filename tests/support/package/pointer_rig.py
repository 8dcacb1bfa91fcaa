"""Pointer filters under test: tables, and what the device's plain code makes of a copy."""

from array import array

import numpy as np
from otatool.patch.pointers import Filter, Table


def table(*entries: tuple[int, int]) -> Table:
    """A table of (start, shift)."""
    return Table(np.array([s for s, _ in entries]), np.array([s for _, s in entries]))


def on_device(device, filter: Filter, piece: bytes, old: int, new: int) -> bytes:
    """piece as the code of `device`, a module of ota.delta, rewrites it in the midst of other
    bytes. old, new: where it comes from and goes to."""
    before, behind = b"\xa5" * 7, b"\x51" * 9
    out = bytearray(before + piece + behind)
    spans = array("I", (filter.base, filter.base + filter.size, filter.low, filter.high))
    starts = array("I", filter.table.starts.tolist())
    shifts = array("i", filter.table.shifts.tolist())
    device.apply(
        memoryview(out), len(before), len(piece), filter.base + old, new - old, spans, starts,
        shifts, len(starts),
    )  # fmt: skip
    assert out.startswith(before)
    assert out[len(before) + len(piece) :] == behind
    return bytes(out[len(before) : -len(behind)])
