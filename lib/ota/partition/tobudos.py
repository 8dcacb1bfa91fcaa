"""The TobudOS partition table (`ptbl.bin`): 32 bytes in-position, 40 bytes ping-pong.

    0  2  magic 20 64
    2  2  first version: major, minor
    4  1  crc-8 over bytes 0..3 and all entries
    5  3  reserved: any bytes, not covered, ignored
    8  8  active: start u32, end u32 (absolute, exclusive), little-endian as all
          ip: ota, kv. pp: backup, ota, kv.

The checks and their order are the loader's (components/ota/common/partition of
TencentOS-tiny 06291f5b), then what it omits. The loader is configured with the mode; here the
table determines it: flash after an in-position table is erased. FlashError words, in this order:

    "mode"     mode is neither "ip" nor "pp"; or the checksum is that of an in-position
               table, but something follows it: pass the mode
    "bounds"   fewer bytes than the table has; or an entry's start is not below its end
    "magic"    no table here
    "align"    an entry's size is no multiple of program_size
    "crc"      the checksum differs
    "overlap"  two entries share bytes
"""

import struct

from ..compat import const
from ..errors import FlashError

if False:  # for type checkers
    from ota_hints import Buffer, Region

MAGIC = b"\x20\x64"
_NAMES = {"ip": ("active", "ota", "kv"), "pp": ("active", "backup", "ota", "kv")}
_HEADER = const(8)
_ENTRY = const(8)
_MAX = const(40)


class Table:
    """A table. mode: "ip" or "pp"; version: "MAJOR.MINOR"; entries: see partition.layout."""

    def __init__(self, mode: str, version: str, entries: list):
        self.mode = mode
        self.version = version
        self.entries = entries


def crc8(data: "Buffer", value: int = 0) -> int:
    """CRC-8, polynomial 0x31, nothing reflected; value: result of the call before."""
    for b in data:
        value ^= b
        for _ in range(8):
            value = (value << 1 ^ 0x31 if value & 0x80 else value << 1) & 0xFF
    return value


def length(mode: str) -> int:
    """Bytes of a table of that mode, "ip" or "pp"."""
    return _HEADER + _ENTRY * len(_NAMES[mode])


def read(region: "Region", program_size: int = 0, mode: str = "") -> Table:
    """Read and check the table at the start of region.

    Args:
        program_size: bytes, of the flash with the partitions; 0: that of region.
        mode: "ip", "pp", or "" to detect it.
    Raises:
        FlashError: see above, and "io".
    """
    buf = bytearray(min(_MAX, region.size))
    region.read(0, buf)
    return parse(buf, program_size or region.program_size, mode)


def parse(data: "Buffer", program_size: int, mode: str = "") -> Table:
    """Parse and check the table at the start of data (bytes-like); more bytes may follow.

    Raises FlashError, see above.
    """
    if mode and mode not in _NAMES:
        raise FlashError("mode")
    data = bytes(data[:_MAX])
    if len(data) < _HEADER:
        raise FlashError("bounds", 0, len(data))
    if data[:2] != MAGIC:
        raise FlashError("magic", 0)
    mode = mode or _mode(data)
    size = length(mode)
    if len(data) < size:
        raise FlashError("bounds", 0, len(data))
    spans = []
    for at in range(_HEADER, size, _ENTRY):
        start, end = struct.unpack_from("<II", data, at)
        if start >= end:
            raise FlashError("bounds", at, start, end)
        if (end - start) % program_size:
            raise FlashError("align", at, end - start)
        spans.append((start, end))
    if checksum(data[:size]) != data[4]:
        raise FlashError("crc", 4)
    for i, (start, end) in enumerate(spans):
        for other in spans[:i]:
            if start < other[1] and other[0] < end:
                raise FlashError("overlap", _HEADER + _ENTRY * i, start)
    entries = [(name, "", s, e - s) for name, (s, e) in zip(_NAMES[mode], spans)]
    return Table(mode, "%d.%d" % (data[2], data[3]), entries)


def checksum(table: "Buffer") -> int:
    """The CRC-8 for byte 4 of a table whose other bytes are complete."""
    return crc8(table[_HEADER:], crc8(table[:4]))


def _mode(data):
    ip = length("ip")
    rest = data[ip:]
    if rest == b"\xff" * len(rest):
        return "ip"
    # A ping-pong table with one bad bit must never pass for an in-position one, whose three
    # entries it would fill with the wrong partitions.
    if checksum(data) != data[4] and checksum(data[:ip]) == data[4]:
        raise FlashError("mode", ip)
    return "pp"
