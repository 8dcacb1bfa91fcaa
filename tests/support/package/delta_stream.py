"""Patch streams written by hand, and what feeds a decoder in tests; both interpreters."""

from ota.errors import VerifyError


def varint(value):
    """LEB128."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def zigzag(value):
    """0, -1, 1, -2 ... become 0, 1, 2, 3 ..."""
    return value << 1 if value >= 0 else (-value << 1) - 1


def copy(length, change=0):
    """A copy; change: of the diagonal. length 0: to the end of the block."""
    if not change:
        return varint(length << 2 | 1)
    return varint(length << 2 | 2) + varint(zigzag(change))


def home(length, change=0):
    """A copy; change: from home to its diagonal."""
    return varint(length << 2 | 3) + varint(zigzag(change))


def literal(length=0):
    """Literals; length 0: to the end of the block."""
    return varint(length << 2)


def block(control, literals=b"", gaps=b"", values=b"", lengths=None):
    """The stream of a block; lengths: a false head."""
    lengths = lengths or (len(control), len(gaps), len(values))
    return b"".join([varint(n) for n in lengths]) + control + gaps + values + literals


def placed(step, control=b"", literals=b"", gaps=b"", values=b""):
    """The stream of an ordered block. step: where it goes, 0 is the one after the last one; None:
    not told, it goes on as the last one went."""
    if step is not None:
        control = varint(zigzag(step)) + control
    told = len(control) << 1 | (step is not None)
    return block(control, literals, gaps, values, (told, len(gaps), len(values)))


class Plain:
    """An inflater of bytes that are not deflated."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def readinto(self, buf):
        n = len(buf)
        if self.at + n > len(self.data):
            raise VerifyError("inflate", n)
        buf[:] = self.data[self.at : self.at + n]
        self.at += n
        return n

    def skip(self, length):
        self.readinto(bytearray(length))

    @property
    def empty(self):
        return self.at == len(self.data)


class Base:
    """A base image that a decoder reads; a read outside is a bug of the decoder."""

    def __init__(self, data):
        self.data = data
        self.reads = 0

    def read(self, offset, buf):
        assert len(buf) and offset >= 0 and offset + len(buf) <= len(self.data)
        buf[:] = self.data[offset : offset + len(buf)]
        self.reads += 1


class Noise:
    """The same pseudo-random bytes on both interpreters."""

    def __init__(self, seed=1):
        self.state = seed

    def below(self, n):
        self.state = (self.state * 1103515245 + 12345) & 0x3FFFFFFF
        return (self.state >> 8) % n

    def bytes(self, n):
        return bytes([self.below(256) for _ in range(n)])
