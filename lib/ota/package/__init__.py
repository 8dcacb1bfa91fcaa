"""The signed header of a package: parses bytes into a Header or rejects them. Pure, no I/O.

    prefix (12 bytes)  magic "OTAP" | format u8 | 0 | header length u16 |
                       signatures length u16 | 0 u16          little-endian throughout
    fields             type u16 | length u16 | value; type bit 15 = critical
    signatures         key id 8 bytes | length u16 | signature; one per key
    then the payload   (chunks.py)

The header length counts prefix and fields: those bytes are signed. docs/format.md
section 3 gives every field.
"""

import hashlib
import struct

from ..compat import const
from ..errors import ManifestError, SignatureError

if False:  # for type checkers
    from ota_hints import Buffer, Verifier

MAGIC = b"OTAP"
PREFIX = const(12)
FORMAT = const(1)
HEADER_MAX = const(1024)
SIGNATURES_MAX = const(2048)
CHAIN = const(16)  # bytes of SHA-256 that link the chunks
CHUNK = const(28)  # bytes of a chunk's header
FULL = const(0)
PATCH = const(1)

# Field types. A reader rejects a package with an unknown one that has bit 15 set.
PRODUCT = const(0x8001)
TARGET = const(0x8002)
VERSION = const(0x8003)
FLOOR = const(0x8004)
IMAGE = const(0x8005)
BASE = const(0x8006)
PAYLOAD = const(0x8007)
MPY = const(0x8008)
POINTERS = const(0x800A)
STASH = const(0x800B)
BASE_VERSION = const(0x0001)
SEQUENCE = const(0x0002)
REVERSE = const(0x0003)

_IMAGE = const("<I32s")
# encoding, wbits, log2 of the block size, flags, longest chunk, longest metadata,
# stored length of all chunks, digest of the first chunk
_PAYLOAD = const("<BBBBHHI16s")
# kind, entries of the table at the most, address of the image, a second range of addresses
_POINTERS = const("<BxHIII")
_KINDS = const(3)
_ENTRIES = const(512)
_ADDRESS = const(0x7FFFFFFF)  # a 32-bit board calculates with signed numbers
_STASH = const("<IH")  # bytes, ranges
_RANGES = const(512)
_CHUNK = const(4224)  # the longest chunk, and
_TABLE = const(4100)  # what each table may add to it
ORDERED = const(1)  # payload flag: blocks come in an order that is safe in place
_TEXT_MAX = const(32)


class Header:
    """The fields of a package header as plain attributes; sizes in bytes.

    product, target, version, base_version: text. floor, sequence: int. image_size,
    image_digest (32 bytes); base_size, base_digest (0, b"" for a full image). encoding,
    wbits, block_size, ordered, chunk_max, meta_max, payload_size, first (CHAIN bytes).
    reverse_size, reverse_digest: of the package that undoes this one and follows it, 0, b""
    for none. pointers: (kind, entries, base, low, high) of ota.delta.pointers, None for none.
    stash: (bytes, ranges) of ota.delta.stash, None for none. mpy: wanted
    sys.implementation._mpy & 0xff, 0 for any. length: of head and signatures, where the
    payload starts. digest: SHA-256 of the signed bytes, the package's name.
    """

    def __init__(self):
        self.product = self.target = self.version = self.base_version = ""
        self.floor = self.sequence = self.mpy = 0
        self.image_size = self.base_size = 0
        self.image_digest = self.base_digest = b""
        self.encoding = self.wbits = self.block_size = 0
        self.ordered = False
        self.pointers = self.stash = None
        self.chunk_max = self.meta_max = self.payload_size = 0
        self.first = b""
        self.reverse_size = 0
        self.reverse_digest = b""
        self.length = 0
        self.digest = b""

    @property
    def size(self) -> int:
        """Bytes of the package, without the reverse package after it."""
        return self.length + self.payload_size

    @property
    def stored_max(self) -> int:
        """Bytes of the longest chunk without its header, which an inflater must hold."""
        return self.chunk_max - CHUNK


def lengths(prefix: "Buffer") -> tuple:
    """(header length, signatures length) of a package from its first PREFIX bytes.

    Raises ManifestError "header" (not a package), "format", "size".
    """
    if len(prefix) < PREFIX or bytes(prefix[:4]) != MAGIC:
        raise ManifestError("header", len(prefix))
    form, zero, length, signatures, zero2 = struct.unpack("<BBHHH", bytes(prefix[4:PREFIX]))
    if form != FORMAT or zero or zero2:
        raise ManifestError("format", form)
    if not PREFIX < length <= HEADER_MAX or signatures > SIGNATURES_MAX:
        raise ManifestError("size", length, signatures)
    return length, signatures


def parse(head: "Buffer") -> Header:
    """Parse and validate prefix and fields; check() verifies the signatures.

    Args:
        head: exactly prefix, fields and signatures.
    Raises:
        ManifestError: "header", "format", "size", "field" (with the type), "critical" (likewise).
    """
    length, signatures = lengths(head)
    if len(head) != length + signatures:
        raise ManifestError("size", len(head))
    h = Header()
    seen = []
    i = PREFIX
    while i < length:
        if i + 4 > length:
            raise ManifestError("field", 0)
        kind, n = struct.unpack("<HH", bytes(head[i : i + 4]))
        i += 4
        if i + n > length:
            raise ManifestError("field", kind)
        if kind in seen:
            raise ManifestError("field", kind)
        seen.append(kind)
        if not _field(h, kind, bytes(head[i : i + n])) and kind & 0x8000:
            raise ManifestError("critical", kind)
        i += n
    for kind in (PRODUCT, TARGET, VERSION, FLOOR, IMAGE, PAYLOAD):
        if kind not in seen:
            raise ManifestError("field", kind)
    if (h.encoding == PATCH) != (BASE in seen):
        raise ManifestError("field", BASE)
    if h.pointers and (h.encoding != PATCH or h.pointers[2] + h.base_size > _ADDRESS):
        raise ManifestError("field", POINTERS)
    if h.stash and (not h.ordered or h.stash[0] > h.base_size):
        raise ManifestError("field", STASH)
    if h.chunk_max > _CHUNK + _TABLE * (bool(h.pointers) + bool(h.stash)):
        raise ManifestError("field", PAYLOAD)
    h.length = length + signatures
    h.digest = hashlib.sha256(bytes(head[:length])).digest()
    return h


def check(head: "Buffer", keys: "Verifier") -> None:
    """Verify that a trusted key signed the header.

    Args:
        keys: crypto.Keys.
    Raises:
        SignatureError: "key" if no trusted key signed it, "signature" if a signature is invalid.
    """
    length, signatures = lengths(head)
    head = memoryview(head)
    i = length
    end = length + signatures
    while i + 10 <= end:
        key_id = bytes(head[i : i + 8])
        n = struct.unpack("<H", bytes(head[i + 8 : i + 10]))[0]
        i += 10
        if i + n > end:
            break
        if key_id in keys:
            keys.verify(key_id, head[:length], head[i : i + n])
            return
        i += n
    raise SignatureError("key")


def version(text: str) -> tuple:
    """Dotted integers as a tuple that compares; raises ManifestError "field"."""
    parts = text.split(".")
    if not 1 <= len(parts) <= 4:
        raise ManifestError("field", VERSION)
    for p in parts:
        # isdigit alone lets other scripts' digits through on CPython
        if not 1 <= len(p) <= 5 or not all("0" <= c <= "9" for c in p):
            raise ManifestError("field", VERSION)
    if len(text) > 15:
        raise ManifestError("field", VERSION)
    return tuple(int(p) for p in parts)


def _text(kind, value):
    # Printable ASCII only: the text goes into logs, state and comparisons.
    if not 1 <= len(value) <= _TEXT_MAX or min(value) < 33 or max(value) > 126:
        raise ManifestError("field", kind)
    return value.decode()


def _fixed(kind, layout, value):
    if len(value) != struct.calcsize(layout):
        raise ManifestError("field", kind)
    return struct.unpack(layout, value)


def _field(h, kind, value):
    if kind == PRODUCT:
        h.product = _text(kind, value)
    elif kind == TARGET:
        h.target = _text(kind, value)
    elif kind == VERSION:
        h.version = _text(kind, value)
        version(h.version)
    elif kind == BASE_VERSION:
        h.base_version = _text(kind, value)
    elif kind == FLOOR:
        h.floor = _fixed(kind, "<I", value)[0]
    elif kind == SEQUENCE:
        h.sequence = _fixed(kind, "<I", value)[0]
    elif kind == MPY:
        h.mpy = _fixed(kind, "<H", value)[0]
    elif kind == REVERSE:
        h.reverse_size, h.reverse_digest = _fixed(kind, _IMAGE, value)
    elif kind == POINTERS:
        h.pointers = _fixed(kind, _POINTERS, value)
        code, count, _, low, high = h.pointers
        if not 1 <= code <= _KINDS or count > _ENTRIES or not low <= high <= _ADDRESS:
            raise ManifestError("field", kind)
    elif kind == STASH:
        h.stash = _fixed(kind, _STASH, value)
        if not 0 < h.stash[1] <= min(_RANGES, h.stash[0]):
            raise ManifestError("field", kind)
    elif kind == IMAGE:
        h.image_size, h.image_digest = _fixed(kind, _IMAGE, value)
        if not h.image_size:
            raise ManifestError("field", kind)
    elif kind == BASE:
        h.base_size, h.base_digest = _fixed(kind, _IMAGE, value)
        if not h.base_size:
            raise ManifestError("field", kind)
    elif kind == PAYLOAD:
        _payload(h, _fixed(kind, _PAYLOAD, value))
    else:
        return False
    return True


def _payload(h, values):
    h.encoding, h.wbits, log2, flags, h.chunk_max, h.meta_max, h.payload_size, h.first = values
    h.ordered = bool(flags & ORDERED)
    h.block_size = 1 << (log2 & 31)
    if (
        h.encoding > PATCH
        or flags & ~ORDERED
        or not 9 <= h.wbits <= 15
        or not 8 <= log2 <= 12
        or not 32 <= h.chunk_max <= _CHUNK + 2 * _TABLE
        or h.meta_max > 4096
        or not h.payload_size
        or (h.ordered and h.encoding != PATCH)
    ):
        raise ManifestError("field", PAYLOAD)
