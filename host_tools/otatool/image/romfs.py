"""ROMFS byte by byte: the records of an image, and records to make one of.

The head of MicroPython's extmod/vfs_rom.c describes the format. A record is a kind, the length
of its content (both varuints: seven bits a byte, highest first) and the content; a varuint may
be written longer than needed with leading 0x80.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import ToolError

MAGIC = b"\xd2\xcd\x31"
PADDING, VERBATIM, POINTER, FOLDER, FILE = 1, 2, 3, 4, 5
_POINTED = 4  # bytes of each number in a file's pointer, so that its record has one length
_DEPTH = 64  # folders in folders; a path that long fits no reader


@dataclass
class Record:
    """A record of an image that stands for something.

    Attributes:
        kind: FOLDER, FILE, or VERBATIM for data beside the files, which pointers lead to.
        folder: its folder, "" or "lib/".
        name: its own, "" for data.
        start, end: where the record is in the image.
        offset, size: of a file's content or the data. All are bytes.
        width: of a folder's length, bytes.
    """

    kind: int
    folder: str
    name: str
    start: int
    end: int
    offset: int = 0
    size: int = 0
    width: int = 0


def base(data: bytes) -> int:
    """Where the records of an image begin: pointers count from there. Raises ToolError."""
    return _varuint(data, len(MAGIC), len(data))[1]


def records(data: bytes) -> Iterator[Record]:
    """The records of an image in the order they lie; of a folder, itself comes first.

    Args:
        data: the image and nothing behind it.

    Raises:
        ToolError: it is damaged.
    """
    at = first = base(data)
    inside = [("", len(data))]  # folders that are open here, and their ends
    while inside:
        folder, end = inside[-1]
        if at == end:
            inside.pop()
            continue
        # Leading 0x80 of the kind fill a gap of one byte in front of the record.
        start = next((i for i in range(at, end) if data[i] != 0x80), end)
        kind, at = _varuint(data, at, end)
        length_at = at
        length, at = _varuint(data, at, end)
        width = at - length_at
        stop = at + length
        if kind == 0 or stop > end:
            raise ToolError(f"damaged ROMFS: a record at byte {at} does not fit")
        if kind == VERBATIM:
            yield Record(kind, folder, "", start, stop, at, length)
        elif kind in (FOLDER, FILE):
            size, at = _varuint(data, at, stop)
            name = data[at : at + size].decode("ascii", "replace")
            at += size
            if at > stop:
                raise ToolError(f"damaged ROMFS: a name before byte {at} does not fit")
            if kind == FOLDER:
                yield Record(kind, folder, name, start, stop, width=width)
                inside.append((folder + name + "/", stop))
                if len(inside) > _DEPTH:
                    raise ToolError(f"damaged ROMFS: folders too deep at byte {at}")
                continue
            yield Record(kind, folder, name, start, stop, *_content(data, at, stop, first))
        at = stop


def _content(data: bytes, at: int, end: int, first: int) -> tuple[int, int]:
    """(offset, size) of a file's bytes: inline, or where a pointer says."""
    while at < end:
        kind, at = _varuint(data, at, end)
        length, at = _varuint(data, at, end)
        offset, size = at, length
        if kind == POINTER:
            size, at = _varuint(data, at, end)
            offset, at = _varuint(data, at, end)
            offset += first
        if kind in (VERBATIM, POINTER) and offset + size <= len(data):
            return offset, size
        if kind in (0, VERBATIM, POINTER):
            break
        at += length
    raise ToolError(f"damaged ROMFS: a file's data at byte {at} does not fit")


def _varuint(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = 0
    while at < end:
        byte = data[at]
        at += 1
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at
    raise ToolError(f"damaged ROMFS: a number at byte {at} does not end")


# -- writing ----------------------------------------------------------------------------


def varuint(value: int, width: int = 1) -> bytes:
    """value in at least width bytes."""
    out = bytearray([value & 0x7F])
    while value > 0x7F or len(out) < width:
        value >>= 7
        out.append(value & 0x7F | 0x80)
    return bytes(reversed(out))


def record(kind: int, content: bytes, width: int = 1) -> bytes:
    """A record.

    Args:
        width: of its length, bytes at least.
    """
    return bytes([kind]) + varuint(len(content), width) + content


def named(name: str) -> bytes:
    """What the content of a folder or file begins with."""
    return varuint(len(name)) + name.encode("ascii")


def pointer(size: int, offset: int) -> bytes:
    """A pointer to data.

    Args:
        size: of the data.
        offset: from the first record; both bytes.
    """
    return record(POINTER, varuint(size, _POINTED) + varuint(offset, _POINTED))


def padding(size: int) -> bytes:
    """size bytes that mean nothing; a single one belongs to the record that has to follow."""
    if size == 1:
        return b"\x80"
    width = 1
    while size - 1 - width >> 7 * width:
        width += 1
    return record(PADDING, bytes(size - 1 - width), width)


def image(content: bytes, first: int) -> bytes:
    """The image of these records, which begin at byte first and make its length even."""
    return MAGIC + varuint(len(content), first - len(MAGIC)) + content
