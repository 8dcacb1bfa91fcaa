"""Packages and manifests made by hand, well or badly, for the tests; both interpreters.

Nothing is compressed: stored deflate blocks hold the bytes, so no compressor is needed and
every part can be changed before the chain and the signatures are made over it.
"""

import hashlib
import json
import struct
from binascii import b2a_base64, hexlify, unhexlify

from images import KEY, PRODUCT
from ota import package as fmt
from ota.crypto import hmac, key_id

OTHER_KEY = {"type": "hmac", "secret": "ffeeddccbbaa99887766554433221100" * 2}
_CHUNK = "<HBBII16s"


def stored(data, last=False):
    """data as a stored deflate block, then a sync flush or, last, the end of the stream."""
    n = len(data)
    body = b"\0" + struct.pack("<HH", n, n ^ 0xFFFF) + data if n else b""
    return body + (b"\1" if last else b"\0") + b"\0\0\xff\xff"


def sized(image):
    """Size and digest of an image, as the header's fields have them."""
    return struct.pack("<I32s", len(image), hashlib.sha256(image).digest())


def ident(key=KEY):
    """The id of an HMAC key."""
    return key_id("hmac", unhexlify(key["secret"]))


def signatures(signed, keys=(KEY,)):
    """The signatures behind a header."""
    out = b""
    for key in keys:
        mac = hmac.mac(unhexlify(key["secret"]), signed)
        out += ident(key) + struct.pack("<H", len(mac)) + mac
    return out


def prefix(length, signatures_length):
    """The first 12 bytes."""
    return fmt.MAGIC + struct.pack("<BBHHH", fmt.FORMAT, 0, length, signatures_length, 0)


def head(fields, keys=(KEY,)):
    """Prefix, fields [(type, value), ...] and signatures."""
    body = b"".join([struct.pack("<HH", kind, len(value)) + value for kind, value in fields])
    signed = prefix(fmt.PREFIX + len(body), 42 * len(keys)) + body
    return signed + signatures(signed, keys)


def name(data):
    """The digest of a package: that of its header."""
    return hashlib.sha256(data[: fmt.lengths(data)[0]]).digest()


class Chunk:
    """A chunk before it is chained; length and following: None for the right values."""

    def __init__(self, body, blocks, inflated, first, restart, last):
        self.stored = stored(body, last)
        self.blocks = blocks
        self.inflated = inflated
        self.first = first
        self.flags = 1 if restart else 0
        self.length = self.following = None


class Package:
    """A package in parts: change fields, chunks or the numbers of the payload, then data().

    new: the image; old: None for a full package, else its base. per: blocks in a chunk;
    restart: chunks from one restart point to the next. behind: bytes of the reverse package.
    """

    def __init__(
        self, new, old=None, version="0.2", block=4096, ordered=False, per=1, restart=2,
        keys=(KEY,), product=PRODUCT, target="app", floor=0, behind=b"",
    ):  # fmt: skip
        self.keys = keys
        self.behind = behind
        self.encoding = fmt.FULL if old is None else fmt.PATCH
        self.wbits = 10
        self.log2 = 8
        while 1 << self.log2 < block:
            self.log2 += 1
        self.flags = fmt.ORDERED if ordered else 0
        self.meta_max = 0
        self.chunk_max = self.payload_size = self.first = None
        self.chunks = []
        self.fields = [
            [fmt.PRODUCT, product.encode()],
            [fmt.TARGET, target.encode()],
            [fmt.VERSION, version.encode()],
            [fmt.FLOOR, struct.pack("<I", floor)],
            [fmt.IMAGE, sized(new)],
            [fmt.PAYLOAD, None],
        ]
        if old is not None:
            self.fields.append([fmt.BASE, sized(old)])
        if behind:
            self.fields.append([fmt.REVERSE, struct.pack("<I32s", len(behind), name(behind))])
        self._cut(new, old, block, ordered, per, restart)

    def _cut(self, new, old, block, ordered, per, restart):
        todo = list(range((len(new) + block - 1) // block))
        if ordered:
            same = [i for i in todo if _part(new, i, block) == _part(old, i, block)]
            todo = [i for i in todo if i not in same] or todo[-1:]
        before = 0
        for first in range(0, len(todo), per):
            fresh = len(self.chunks) % restart == 0
            group = todo[first : first + per]
            body = b""
            for k, i in enumerate(group):
                part = _part(new, i, block)
                if old is not None:
                    jump = i - (0 if fresh and not k else before) if ordered else None
                    part = self._patched(part, _part(old, i, block), jump)
                body += part
                before = i + 1
            last = first + per >= len(todo)
            self.chunks.append(Chunk(body, len(group), len(body), first, fresh, last))

    def _patched(self, new, old, jump):
        """A block of a patch: copied whole where nothing changed, else all literals."""
        control = b"" if jump is None else varint(zigzag(jump))
        control += b"" if new == old else b"\0"
        self.meta_max = max(self.meta_max, len(control))
        told = len(control) if jump is None else len(control) << 1 | 1
        return varint(told) + b"\0\0" + control + (b"" if new == old else new)

    def set(self, kind, value):
        """Replace a field, or add it."""
        for f in self.fields:
            if f[0] == kind:
                f[1] = value
                return
        self.fields.append([kind, value])

    def payload(self):
        """(stored bytes of all chunks, digest of the first), chained as the chunks now are."""
        following = bytes(16)
        parts = []
        for i in range(len(self.chunks) - 1, -1, -1):
            c = self.chunks[i]
            part = struct.pack(
                _CHUNK,
                len(c.stored) if c.length is None else c.length,
                c.flags, c.blocks, c.inflated, c.first,
                following if c.following is None else c.following,
            ) + c.stored  # fmt: skip
            following = hashlib.sha256(part).digest()[:16]
            parts.insert(0, part)
        return parts, following

    def head(self):
        """Prefix, fields and signatures."""
        parts, first = self.payload()
        value = struct.pack(
            "<BBBBHHI16s", self.encoding, self.wbits, self.log2, self.flags,
            self.chunk_max or max([len(p) for p in parts] + [32]),
            self.meta_max,
            sum([len(p) for p in parts]) if self.payload_size is None else self.payload_size,
            self.first or first,
        )  # fmt: skip
        return head([(k, value if v is None else v) for k, v in self.fields], self.keys)

    def data(self):
        """The whole file."""
        return self.head() + b"".join(self.payload()[0]) + self.behind


def _part(image, i, block):
    return image[i * block : i * block + block]


def zigzag(n):
    """0, -1, 1, -2 ... as 0, 1, 2, 3 ..."""
    return n * 2 if n >= 0 else -n * 2 - 1


def varint(n):
    """n in 7-bit groups, the lowest first."""
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def noise(size, seed=1):
    """size bytes that do not repeat."""
    parts = [hashlib.sha256(struct.pack("<II", seed, at)).digest() for at in range(0, size, 32)]
    return b"".join(parts)[:size]


def entry(url, data, base=None, in_place=False):
    """A manifest's entry of a package; data: the package."""
    out = {"url": url, "size": len(data), "digest": hexlify(name(data)).decode()}
    if base is not None:
        out["base"] = described(base)
    if in_place:
        out["in_place"] = True
    return out


def described(image):
    """A manifest's size and digest of an image."""
    return {"size": len(image), "digest": hexlify(hashlib.sha256(image).digest()).decode()}


def release(version, image, packages, floor=0, target="app"):
    """A manifest's entry of a release with one image."""
    one = {"target": target, "packages": packages}
    one.update(described(image))
    return {"version": version, "floor": floor, "images": [one]}


def content(releases, sequence=1, **more):
    """A manifest as a dict."""
    out = {"format": 1, "product": PRODUCT, "channel": "stable", "sequence": sequence}
    out["releases"] = releases
    out.update(more)
    return out


def manifest(what, keys=(KEY,)):
    """A signed manifest; what: dict, or bytes that are taken as they are."""
    body = what if isinstance(what, bytes) else json.dumps(what).encode()
    body += b"\n"
    return body + b"".join([line(body, key) for key in keys])


def line(body, key=KEY):
    """The signature line of one key."""
    mac = hmac.mac(unhexlify(key["secret"]), body)
    return b"sig " + hexlify(ident(key)) + b" " + b2a_base64(mac)
