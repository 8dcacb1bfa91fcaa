"""Grammar of packages: header, signatures, chunks, deflate, reverse package, and the project's
own vectors taken apart; well-formed, then broken at any of these levels.
"""

import hashlib
import struct
import zlib

import fuzz_run
import reference
import streams
from images import vector
from ota import package as fmt
from ota.errors import OtaError
from packer import OTHER_KEY, Package, signatures, sized, stored

STRATEGIES = ("ab", "pingpong", "inplace")
_VECTORS = ("delta", "place", "stash", "full")
_FIELDS = (
    fmt.PRODUCT, fmt.TARGET, fmt.VERSION, fmt.FLOOR, fmt.IMAGE, fmt.BASE, fmt.PAYLOAD, fmt.MPY,
    fmt.POINTERS, fmt.STASH, fmt.BASE_VERSION, fmt.SEQUENCE, fmt.REVERSE,
)  # fmt: skip
_LEVELS = (
    "", "stream", "tables", "deflate", "chunks", "payload", "fields", "signed", "reverse",
    "whole", "board",
)  # fmt: skip
_SHORT = struct.Struct("<H")


class Parts(Package):
    """A package in parts as packer.Package has them, but of streams that are there already.

    bodies: [(restart, blocks, bytes), ...] before they are deflated.
    """

    def __init__(self, old, new, block, ordered, bodies):
        patch = old is not None
        Package.__init__(self, b"\0", b"\0" if patch else None, block=block)
        self.flags = fmt.ORDERED if ordered else 0
        self.chunks = []
        self.bodies = [list(b) for b in bodies]
        self.set(fmt.IMAGE, sized(new))
        self.set(fmt.FLOOR, struct.pack("<I", fuzz_run.FLOOR))
        if patch:
            self.set(fmt.BASE, sized(old))

    def deflate(self, maker):
        """Make the chunks of the bodies; breaks the deflate streams at times."""
        c = maker.c
        maker.level = "deflate"
        plain = c.below(3) == 1
        self.wbits = c.pick((10, 9, 12, 11))
        bits = self.wbits
        if maker.wreck(12):
            bits = c.pick((15, 9))  # may reach further back than the header says
        press = zlib.compressobj(9, zlib.DEFLATED, -bits)
        first = 0
        for i, (restart, blocks, body) in enumerate(self.bodies):
            last = i + 1 == len(self.bodies)
            chunk = _Chunk(len(body), blocks, first, restart)
            if plain:
                chunk.stored = stored(body, last)
            else:
                follows = not last and self.bodies[i + 1][0]
                how = zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH
                if maker.wreck(30):
                    how = c.pick((zlib.Z_SYNC_FLUSH, zlib.Z_FINISH, zlib.Z_NO_FLUSH))
                chunk.stored = press.compress(body) + press.flush(
                    zlib.Z_FULL_FLUSH if follows and how == zlib.Z_SYNC_FLUSH else how
                )
                if how == zlib.Z_FINISH:
                    press = zlib.compressobj(9, zlib.DEFLATED, -bits)
            if maker.wreck(20):
                chunk.stored = maker.spoilt(chunk.stored)
            first += blocks
            self.chunks.append(chunk)


class _Chunk:
    """A chunk before it is chained; see packer.Chunk."""

    def __init__(self, inflated, blocks, first, restart):
        self.stored = b""
        self.blocks = blocks
        self.inflated = inflated
        self.first = first
        self.flags = 1 if restart else 0
        self.length = self.following = None


def _spoil_chunks(maker, parts):
    """Numbers of chunks that lie, chunks that are lost, doubled or exchanged."""
    c = maker.c
    maker.level = "chunks"
    for chunk in parts.chunks:
        if maker.wreck(20):
            chunk.blocks = c.pick((chunk.blocks + 1, max(chunk.blocks - 1, 0), 0, 255)) & 255
        if maker.wreck(20):
            chunk.inflated = c.pick(
                (chunk.inflated + 1, max(chunk.inflated - 1, 0), 0, 0xFFFFFFFF, 65536)
            )
        if maker.wreck(20):
            chunk.first = c.pick((chunk.first + 1, 0, 0xFFFFFFFF, 255))
        if maker.wreck(20):
            chunk.flags = c.pick((chunk.flags ^ 1, 2, 255))
        if maker.wreck(30):
            chunk.following = c.pick((bytes(16), c.bytes(16)))
        if maker.wreck(30):
            chunk.length = c.pick((0, len(chunk.stored) + 1, max(len(chunk.stored) - 1, 0), 65535))
            chunk.length &= 0xFFFF
    if maker.wreck(20):
        i, k = c.below(len(parts.chunks)), c.below(len(parts.chunks))
        parts.chunks = c.pick(
            (
                lambda: parts.chunks[:i] + parts.chunks[i + 1 :] or parts.chunks,
                lambda: parts.chunks[:i] + [parts.chunks[k]] + parts.chunks[i:],
                lambda: parts.chunks[i:] + parts.chunks[:i],
            )
        )()


def _spoil_payload(maker, parts):
    """The payload field: announced sizes and numbers."""
    c = maker.c
    maker.level = "payload"
    stored, first = parts.payload()
    longest = max([len(p) for p in stored] + [32])
    total = sum([len(p) for p in stored])
    parts.chunk_max = min(longest + c.pick((0, 0, 40)), 0xFFFF)
    if maker.wreck(20):
        parts.chunk_max = c.pick((longest - 1, 31, 32, 4224, 4225, 8324, 12424, 12425, 0)) or 1
    if maker.wreck(20):
        parts.payload_size = max(0, c.pick((total + 1, total - 1, 0, 1, 0xFFFFFFFF, 2 * total)))
    if maker.wreck(20):
        parts.wbits = c.pick((8, 9, 12, 13, 15, 16, 0, 255))
    if maker.wreck(20):
        parts.log2 = c.pick((7, 8, 9, 10, 12, 13, 40))
    if maker.wreck(20):
        parts.flags = c.pick((parts.flags ^ 1, 2, 128))
    if maker.wreck(20):
        parts.encoding = c.pick((1 - parts.encoding, 2, 255))
    if maker.wreck(20):
        parts.meta_max = max(0, c.pick((parts.meta_max - 1, 4096, 4097, 0, 65535)))
    if maker.wreck(30):
        parts.first = c.pick((b"\1" * 16, first[:15] + b"\0"))


def _value(maker, kind, old):
    """A value for a field of that type, seldom the right one."""
    c = maker.c
    size = len(old)
    u32 = lambda n: struct.pack("<I", n & 0xFFFFFFFF)  # noqa: E731
    if kind in (fmt.PRODUCT, fmt.TARGET, fmt.BASE_VERSION):
        return c.pick(
            (b"other", b"", b"x" * 32, b"x" * 33, b"a b", b"\xff", b"app", b"rig", b"\0")
        )
    if kind == fmt.VERSION:
        return c.pick((b"0.1", b"1", b"0.0", b"1.2.3.4", b"1.2.3.4.5", b"99999.99999.9999", b"1.",
                       b"1.a", b"123456", b"-1", b"0.2", b"99999"))  # fmt: skip
    if kind in (fmt.FLOOR, fmt.SEQUENCE):
        return c.pick((u32(0), u32(-1), b"", bytes(5), u32(2)))
    if kind in (fmt.IMAGE, fmt.BASE, fmt.REVERSE):
        return c.pick((
            u32(0) + bytes(32), u32(-1) + old[4:], u32(size + 1) + old[4:], old[:-1] + b"\0",
            old[:4] + c.bytes(32), old + b"\0", u32(1) + old[4:], u32(1 << 31) + bytes(32),
        ))  # fmt: skip
    if kind == fmt.POINTERS:
        whole = (old + bytes(16))[:16]
        return c.pick((
            whole[:2] + _SHORT.pack(513) + whole[4:], b"\0" + whole[1:], b"\x63" + whole[1:],
            whole[:12] + u32(0x80000001), whole[:4] + u32(0x7FFFFFFF) + whole[8:], whole[:-1],
            whole[:8] + u32(1) + u32(0), whole[:2] + _SHORT.pack(512) + whole[4:],
        ))  # fmt: skip
    if kind == fmt.STASH:
        pack = struct.Struct("<IH").pack
        return c.pick((pack(1, 1), pack(0, 1), pack(1, 0), pack(512, 512), pack(513, 513),
                       pack(1 << 31, 1), b"", pack(4490, 2), pack(2000, 1)))  # fmt: skip
    if kind == fmt.MPY:
        return c.pick((_SHORT.pack(6), _SHORT.pack(7), b"\6", _SHORT.pack(0)))
    return c.pick((b"", c.bytes(28), old[:-1], old + b"\0"))


def _spoil_fields(maker, parts):
    """Fields that are missing, doubled, unknown, in another order, or of other values."""
    c = maker.c
    maker.level = "fields"
    for kind, value in ((fmt.BASE_VERSION, b"0.1"), (fmt.SEQUENCE, bytes(4)), (fmt.MPY, b"\6\0"),
                        (0x0010, c.bytes(9))):  # fmt: skip
        if c.rarely(6):
            parts.set(kind, value)
    for i in range(len(parts.fields)):
        if maker.wreck(25):
            kind, value = parts.fields[i]
            parts.fields[i][1] = _value(maker, kind, value or b"")
    if maker.wreck(6):
        del parts.fields[c.below(len(parts.fields))]
    if maker.wreck(10):
        kind = c.pick(_FIELDS)
        parts.fields.append([kind, _value(maker, kind, dict(parts.fields).get(kind) or b"")])
    if maker.wreck(10):
        kind = c.pick((0x8009, 0x800C, 0x7FFF, 0x0004, 0xFFFF, 0))
        parts.fields.append([kind, c.pick((b"", c.bytes(8), c.bytes(600), c.bytes(990)))])
    if c.rarely(5) and parts.fields:
        i = c.below(len(parts.fields))
        parts.fields = parts.fields[i:] + parts.fields[:i]


def _signed(maker, parts):
    """Head with its signatures, both perhaps broken."""
    c = maker.c
    maker.level = "signed"
    head = bytearray(parts.head())
    length = _SHORT.unpack_from(head, 6)[0]
    signed = head[:length]
    if maker.wreck(20):  # lengths and magic, signed as they are then
        at, value = c.pick(
            ((0, b"OTAQ"), (4, b"\2"), (5, b"\1"), (10, b"\1"), (6, _SHORT.pack(13)),
             (6, _SHORT.pack(length - 1)), (6, _SHORT.pack(1025)), (6, _SHORT.pack(length + 2)),
             (6, _SHORT.pack(12)), (8, _SHORT.pack(2049)), (8, _SHORT.pack(41)),
             (8, _SHORT.pack(43)), (8, b"\xff\xff"))
        )  # fmt: skip
        signed[at : at + len(value)] = value
    if maker.wreck(40) and length > 20:
        at = 12 + c.below(length - 12)
        signed[at] ^= 1 << c.below(8)
    right, other = signatures(bytes(signed)), signatures(bytes(signed), (OTHER_KEY,))
    tail = c.pick((right, right, right + other, other + right, right))
    if maker.wreck(8):
        tail = c.pick(
            (b"", other, right[:-1], right[:41], right[:-1] + bytes([right[-1] ^ 1]),
             right[:8] + _SHORT.pack(33) + right[10:] + b"\0",
             right[:8] + b"\xff\xff" + right[10:],
             bytes(42), other + right[:-1] + bytes([right[-1] ^ 1]), right[:-1] + b"\0" + right,
             right[:8] + b"\0\0" + right[10:], right[:9], other * 49, c.bytes(60))
        )  # fmt: skip
    if not maker.wreck(30):
        signed[8:10] = _SHORT.pack(len(tail))
        tail = tail if signed[:length] != head[:length] else tail
    if signed[8:10] != head[8:10]:  # the length of the signatures is signed too
        tail = _again(bytes(signed), tail, right, other)
    return bytes(signed) + tail


def _again(signed, tail, right, other):
    """The same tail over a head that got another length of signatures."""
    fresh, strange = signatures(signed), signatures(signed, (OTHER_KEY,))
    return tail.replace(right[10:], fresh[10:]).replace(other[10:], strange[10:])


def _reverse(maker, old, new, block):
    """A package that leads back, whole or broken."""
    maker.level = "reverse"
    inner = streams.Maker(maker.c, 1 if maker.wreck(4) else 0)
    back = Package(old, new, version="0.1", block=block, ordered=True, floor=fuzz_run.FLOOR)
    if not inner.wrecks:
        return back.data()
    for spoil in (_spoil_chunks, _spoil_payload, _spoil_fields):
        spoil(inner, back)
    if inner.wreck(2):
        back.chunks[-1].stored = inner.spoilt(back.chunks[-1].stored)
    return _signed(inner, back) + b"".join(back.payload()[0])


def _finished(maker, parts, old, new, case):
    """The bytes of a package in parts, with all that may go wrong from here on."""
    c = maker.c
    parts.deflate(maker)
    _spoil_chunks(maker, parts)
    _spoil_payload(maker, parts)
    block = 1 << (parts.log2 & 15)
    behind = b""
    maker.level = "reverse"
    if (
        (maker.only == "reverse" or c.rarely(4))
        and old is not None
        and case["strategy"] == "inplace"
        and block >= 1024
    ):
        behind = _reverse(maker, old, new, block)
        try:
            name = hashlib.sha256(behind[: fmt.lengths(behind)[0]]).digest()
        except OtaError:
            name = bytes(32)
        parts.set(fmt.REVERSE, struct.pack("<I32s", len(behind), name))
        maker.level = "reverse"
        if maker.wreck(6):
            behind = maker.spoilt(behind)
    _spoil_fields(maker, parts)
    data = _signed(maker, parts) + b"".join(parts.payload()[0]) + behind
    maker.level = "whole"
    if maker.wreck(15):
        data = maker.spoilt(data)
    case["data"] = data
    return case


def _case(c, board, strategy):
    return {
        "kind": "package", "board": board, "strategy": strategy,
        "then": c.pick(("confirm", "rollback")), "data": b"",
    }  # fmt: skip


def small(c):
    """A package for the small board: a full image, or a patch made by the other grammar."""
    strategy = c.pick(STRATEGIES)
    case = _case(c, "small", strategy)
    maker = streams.Maker(c, c.pick((0, 1, 1, 2, 3)), _LEVELS)
    case["good"] = not maker.wrecks
    old = fuzz_run.base("base")
    block = 1024 if strategy == "inplace" else c.pick((256, 512, 1024))
    maker.level = "board"
    if maker.wreck(30):
        block = c.pick((256, 2048, 4096))
    size = max(1, block * c.below(5) + c.pick((0, 1, block - 1, c.below(block))))
    if c.rarely(4):
        size = len(old)
    if maker.wreck(30):
        size = 20000
    if c.rarely(4):
        new = (old[c.below(len(old)) :] + c.bytes(256) + old * 5)[:size]
        count = -(-size // block)
        bodies = []
        at = 0
        while at < count:
            n = 1 + c.below(3)
            body = new[at * block : (at + n) * block]
            n = -(-len(body) // block)
            bodies.append((not at or c.rarely(3), n, body))
            at += n
        parts = Parts(None, new, block, False, bodies)
        return _finished(maker, parts, None, new, case)
    ordered = strategy == "inplace"
    maker.level = "board"
    if maker.wreck(30):
        ordered = not ordered
    patch = maker.make("base", len(old), size, block, ordered, (c.rarely(3), c.below(2)))
    new = _image(old, patch)
    parts = Parts(old, new, block, ordered, patch["parts"])
    parts.meta_max = patch["meta"]
    if patch["pointers"]:
        kind, count, *rest = patch["pointers"]
        parts.set(fmt.POINTERS, struct.pack("<BxHIII", kind, count, *rest))
    if patch["stash"]:
        parts.set(fmt.STASH, struct.pack("<IH", *patch["stash"]))
    return _finished(maker, parts, old, new, case)


def _image(old, patch):
    """The image that a patch leads to; if it is broken, what there is of it."""
    size, block = patch["image"], patch["block"]
    new = bytearray((old + b"\xff" * size)[:size])  # as the flash behind it is
    for index, data in reference.decode(old, patch)[1]:
        new[index * block : index * block + len(data)] = data
    return bytes(new)


def own(c):
    """One of the project's vectors, taken apart, changed, put together and signed again."""
    board = c.pick(("2048", "4096"))
    kind = c.pick(_VECTORS)
    strategy = "inplace" if kind in ("place", "stash") else c.pick(STRATEGIES[:2])
    case = _case(c, board, strategy)
    maker = streams.Maker(c, 1 + c.below(3), _LEVELS)
    data = vector("%s-24k-%s.ota" % (kind, board))
    if c.rarely(6):
        for _ in range(maker.wrecks):
            data = maker.spoilt(data)
        case["data"] = data
        return case
    header = fmt.parse(data[: sum(fmt.lengths(data))])
    bodies = _inflated(data[header.length : header.size])
    maker.level = "stream"
    for body in bodies:
        if maker.wreck(6):
            body[2] = maker.spoilt(body[2])
    parts = Parts(None, b"\0", header.block_size, header.ordered, bodies)
    parts.encoding = header.encoding
    parts.meta_max = header.meta_max
    parts.fields = _fields(data)
    _finished(maker, parts, None, b"", case)
    maker.level = "reverse"
    if header.reverse_size and c.below(2):
        behind = data[header.size :]
        case["data"] += maker.spoilt(behind) if maker.wreck(3) else behind
    return case


def _inflated(payload):
    """[[restart, blocks, bytes], ...] of a payload."""
    out = []
    flow = zlib.decompressobj(-15)
    while payload:
        stored, flags, blocks = struct.unpack_from("<HBB", payload)
        out.append([flags & 1, blocks, flow.decompress(payload[28 : 28 + stored])])
        payload = payload[28 + stored :]
    return out


def _fields(data):
    """The fields of a header as Parts have them; that of the payload is made anew."""
    end, _ = fmt.lengths(data)
    at = fmt.PREFIX
    out = []
    while at < end:
        kind, n = struct.unpack_from("<HH", data, at)
        out.append([kind, None if kind == fmt.PAYLOAD else data[at + 4 : at + 4 + n]])
        at += 4 + n
    return out


def make(c):
    """A package of one or the other kind."""
    return own(c) if c.rarely(6) else small(c)
