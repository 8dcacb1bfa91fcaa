"""The layout of the store on flash, version 1, as all its readers and writers share it.

docs/format-kv.md describes every byte.
"""

from binascii import crc32
from struct import pack_into, unpack_from

if False:  # for type checkers
    from ota_hints import Writable

# Headers; the last byte is the version.
BIRTH = b"OKB\x01"
OPEN = b"OKV\x01"

# Kinds of records. COPY marks a record that compaction moved: nobody's news.
SET = 1
DEL = 2
BATCH = 3
ACTIVE = 4
SYNC = 5
VOID = 6
ERASING = 7
COPY = 0x80
IN_BATCH = 0x10

HEADER = 16  # bytes of a sector's header
HEAD = 8  # bytes of a record before its key
MARKER = 20  # bytes of an ACTIVE, VOID or ERASING record
READS = 3  # before flash is believed to be erased


def align(n: int, unit: int) -> int:
    """n rounded up to whole units."""
    return (n + unit - 1) // unit * unit


def seed(buf: "Writable", number: int, place: int) -> int:
    """Start value of the CRC of the record at offset `place` of sector life `number`.

    buf: 8 bytes to work in; the caller's, since a timer may interrupt it with another store.
    """
    pack_into("<II", buf, 0, number, place)
    return crc32(buf)


def header(buf: "Writable", magic: bytes) -> tuple | None:
    """(number, erase count, unit) if buf begins with a valid header, of any version, or None."""
    number, wear, crc = unpack_from("<III", buf, 4)
    if crc32(memoryview(buf)[:12]) != crc or buf[:3] != magic[:3]:
        return None
    return number, wear & 0xFFFFFF, 1 << (wear >> 24 & 15)
