"""Raw inflate, fed chunk by chunk, with exact reads; the same on both interpreters.

MicroPython inflates in C from a reused BytesIO that only ever holds verified bytes
(docs/format.md, "Payload"): the inflater never sees a socket or a "not yet".
"""

import io

from ..compat import const
from ..errors import VerifyError

if False:  # for type checkers
    from ota_hints import Writable

try:
    from deflate import RAW, DeflateIO
except ImportError:
    DeflateIO = None

# A stored, non-final block of one byte: reading it makes DeflateIO allocate its window.
_PRIME = const(b"\x00\x01\x00\xfe\xff\x00")
_CARRY = const(8)  # a sync flush leaves at most 7 bytes unread
_SKIP = const(64)


class Deflated:
    """DeflateIO fed in pieces; begin() returns how many bytes are unread."""

    def __init__(self, size, wbits):
        self._bio = io.BytesIO(size + _CARRY)
        self._io = DeflateIO(self._bio, RAW, wbits)
        self._end = self._bio.write(_PRIME)
        self._bio.seek(0)
        self._io.readinto(bytearray(1))

    def begin(self) -> int:
        """Begin a chunk; return how many bytes before it are unread.

        They are what the last sync flush left: without them the bit stream is broken.
        """
        rest = self._bio.read(max(0, self._end - self._bio.tell()))
        self._bio.seek(0)
        self._end = self._bio.write(rest)
        return self._end

    def write(self, data: bytes) -> None:
        """Append bytes of the chunk."""
        self._end += self._bio.write(data)

    def ready(self) -> None:
        """End the chunk: readinto() follows."""
        self._bio.seek(0)

    def readinto(self, buf: "Writable") -> int:
        """Inflate into buf; return bytes, 0 at the end. Raises VerifyError "inflate"."""
        n = self._io.readinto(buf)
        # The BytesIO still holds older bytes after the chunk; a stream that reads them is
        # invalid, whatever it decoded to.
        if self._bio.tell() > self._end:
            raise VerifyError("inflate")
        return n


if DeflateIO is None:
    from ..cpython import Deflated  # type: ignore[assignment]


class Inflater:
    """One inflater for a whole payload; its memory is taken here, once.

    size: bytes, the longest stored chunk. wbits: 9..15, at least that of the stream.
    """

    def __init__(self, size: int, wbits: int):
        self.size = size
        self.wbits = wbits
        self.left = 0
        self.used = False
        self._in = Deflated(size, wbits)

    def begin(self) -> None:
        """Start the next chunk; write() its stored bytes piece by piece.

        Raises VerifyError "inflate" if the previous chunk has unread data.
        """
        self.used = True
        left = self._in.begin()
        if left > _CARRY:
            raise VerifyError("inflate", left)

    def write(self, data: bytes) -> None:
        """Add a piece of the chunk's stored bytes."""
        self._in.write(data)

    def ready(self, inflated: int) -> None:
        """Declare the chunk complete and verified; it inflates to exactly `inflated` bytes."""
        self.left = inflated
        self._in.ready()

    def readinto(self, buf: "Writable") -> int:
        """Fill buf completely and return len(buf).

        Raises VerifyError "inflate" if the stream is invalid or the chunk ends earlier.
        """
        want = len(buf)
        if want > self.left:
            raise VerifyError("inflate", want, self.left)
        try:
            # Nearly always complete at once; an operation may be one byte.
            got = self._in.readinto(buf) if want else 0
            while got < want:
                n = self._in.readinto(memoryview(buf)[got:])
                if not n:
                    raise VerifyError("inflate", want, got)
                got += n
        except (OSError, EOFError) as e:
            raise VerifyError("inflate", e)
        self.left -= want
        return want

    def skip(self, length: int) -> None:
        """Read and discard length bytes. Raises VerifyError "inflate"."""
        buf = memoryview(bytearray(_SKIP))
        while length > 0:
            length -= self.readinto(buf[: min(length, _SKIP)])
