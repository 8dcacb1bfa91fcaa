"""Append a record to a settled store without the code that keeps an index (kv/full.py).

Only for a value that replaces one of the same length: the store then holds no more than before,
so it cannot become too full, and no sector has to be freed. Layout: docs/format-kv.md.
"""

from binascii import crc32
from struct import pack_into

from ..errors import FlashError
from .layout import HEAD, MARKER, SET, SYNC, align, seed

if False:  # for type checkers
    from ota_hints import Buffer, Store


def replace(store: "Store", name: bytes, value: "Buffer") -> bool:
    """Set name to value in a kv.Store; False if that takes the whole store.

    If power goes here, the next mount finds the record whole or a torn place, as after
    KV.set(): the value is the old or the new one. Raises FlashError.
    """
    found = store.look(name, 1)
    if not found or found[0] is None or len(found[0]) != len(value):
        return False
    return found[0] == value or (
        fits(store, 1, len(name) + len(value)) and _append(store, SET, name, value)
    )


def fits(store: "Store", count: int, length: int) -> bool:
    """True if the newest sector has room for count records of length bytes, key included."""
    if not store.look(b"", 1):
        return False
    at, start, _, unit = store.tail
    # Two markers stay possible behind every record.
    size = count * align(HEAD + length, unit) + 2 * align(MARKER, unit)
    return at + size <= start + store.region.sector_size


def prove(store: "Store") -> None:
    """Prove what was appended by a SYNC. If that fails, the next mount repeats the record."""
    # There is room: see fits().
    if store.look(b"", 1) and _append(store, SYNC, b"", b""):
        store.own = 0


def _append(store, kind, name, value):
    at, start, number, unit = store.tail
    n = HEAD + len(name) + len(value)
    data = bytearray(b"\xff" * align(n, unit))
    pack_into("<HBB", data, 4, len(value), len(name), kind)
    data[HEAD : HEAD + len(name)] = name
    data[HEAD + len(name) : n] = value
    crc = crc32(memoryview(data)[4:n], seed(bytearray(8), number, at - start))
    pack_into("<I", data, 0, crc)
    try:
        store.region.program(at, data)
    except FlashError as e:
        if e.reason not in ("io", "verify"):
            raise
        store.spent = (number, at + len(data))  # even if it reads as erased
        return False
    store.own = store.own or at
    return True
