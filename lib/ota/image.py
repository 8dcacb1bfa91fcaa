"""Kind and size of an image in a slot, read from its header.

ROMFS: d2 cd 31, then the payload's length as varuint (7 bits a byte, most significant
first, high bit: more follows). littlefs2, as laid out at the start of block 0:

    8  8  "littlefs"      24  4  block size, little-endian      28  4  block count

The content is not checked here: its digest is.
"""

import struct

from .compat import const

if False:  # for type checkers
    from ota_hints import Region

_ROMFS = const(b"\xd2\xcd\x31")
_LITTLEFS = const(b"littlefs")
_HEAD = const(32)
_MAX_VARUINT = const(6)  # bytes: 32 bits and one byte of padding


def kind(region: "Region") -> str:
    """ "romfs", "lfs2", or "" for blank or unknown content. Raises FlashError "io"."""
    return _parse(region)[0]


def size(region: "Region") -> int:
    """Size in bytes of the image at the start of region; 0 if it is blank, unknown, or claims to
    be longer than the region. Raises FlashError "io"."""
    return _parse(region)[1]


def _parse(region):
    head = bytearray(min(_HEAD, region.size))
    region.read(0, head)
    if head[:3] == _ROMFS:
        name, length = "romfs", _romfs(head)
    elif head[8:16] == _LITTLEFS and len(head) == _HEAD:
        block, count = struct.unpack_from("<II", head, 24)
        # littlefs allows any size from 128 bytes; every flash has a power of two.
        name, length = "lfs2", 0 if block < 128 or block & (block - 1) else block * count
    else:
        return "", 0
    return (name, length) if 0 < length <= region.size else ("", 0)


def _romfs(head):
    value = 0
    for i in range(3, min(3 + _MAX_VARUINT, len(head))):
        value = value << 7 | head[i] & 0x7F
        if head[i] < 0x80:
            return i + 1 + value
    return 0
