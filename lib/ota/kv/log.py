"""The bytes of the key-value store: headers, records and their checks (docs/format-kv.md).

Knows sectors and records, not keys: kv/ring.py decides which sectors count, kv/full.py what the
records mean.
"""

from binascii import crc32
from struct import pack_into, unpack

from ..compat import const
from ..errors import FlashError
from .layout import BATCH, DEL, ERASING, HEAD, HEADER, IN_BATCH, MARKER, SET, align, header, seed

if False:  # for type checkers
    from ota_hints import Any, Steps

_BUFFER = const(512)
_PAGE = const(256)


class Log:
    """Sectors of a region, read and programmed record by record.

    kind, klen, vlen (bytes of key and value): head of the record that record() or scan() found.
    held, held_at: a record that may be unstable, as it was read once, and its place or -1; it
    is read from RAM only, since flash may read differently every time.
    """

    def __init__(self, region):
        self.region = region
        self.sector = region.sector_size
        self.sectors = region.size // region.sector_size
        # Each rejected program costs a page or a sector.
        self.tries = self.sectors + self.sector // _PAGE + 2
        if self.sectors < 2:
            raise FlashError("config", self.sectors)
        self.kind = self.klen = self.vlen = 0
        self.readable = False  # a header could be read
        self.long: list = []
        self.held, self.held_at = b"", -1
        self.sums = 0, 0  # of the record just read: CRC up to its head, and of all
        self._buf = bytearray(_BUFFER)
        self.view = memoryview(self._buf)  # key and value of a record that fits, once read
        self._first8 = self.view[:HEAD]  # slices cost heap, and record() is called a lot
        self._after4 = self.view[4:HEAD]
        self._head = bytearray(HEADER)
        self._place = bytearray(8)
        self.use_unit(region.program_size)

    def use_unit(self, unit: int) -> None:
        """Start on multiples of `unit` bytes, with no sector in use."""
        self.unit = unit
        self.header = align(HEADER, unit)
        self.marker = align(MARKER, unit)
        self.seq = [0] * self.sectors  # 0: not in use

    def length(self, size: int) -> int:
        """Length of a record with `size` bytes of key and value, padding included."""
        return align(HEAD + size, self.unit)

    def first(self, s: int) -> int:
        """Offset of the first record of sector s."""
        return s * self.sector + 2 * self.header

    # -- headers

    def read_header(self, at: int, magic: bytes) -> tuple | None:
        """(number, erase count, unit) of the header at `at`, or None.

        A single flipped bit is mended: a header is the identity of a whole sector.
        Raises FlashError "magic" for a layout of another version.
        """
        h = self._head
        self.readable = self.region.peek(at, h) or self.readable
        if sum([h[i] == magic[i] for i in range(4)]) < 3:
            return None
        for bit in range(-1, 8 * HEADER):
            if bit >= 0:
                h[bit >> 3] ^= 1 << (bit & 7)
            found = header(h, magic)
            if found:
                if h[3] != magic[3]:
                    raise FlashError("magic", at)
                return found
            if bit >= 0:
                h[bit >> 3] ^= 1 << (bit & 7)
        return None

    def write_header(self, at: int, magic: bytes, number: int, wear: int) -> None:
        """Program a header. Raises FlashError "io", "verify"."""
        shift = 0
        while 1 << shift < self.unit:
            shift += 1
        h = self.view[: self.header]
        h[:] = b"\xff" * self.header
        h[:4] = magic
        pack_into("<II", self._buf, 4, number, (wear & 0xFFFFFF) | shift << 24)
        pack_into("<I", self._buf, 12, crc32(h[:12]))
        self.region.program(at, h)

    # -- reading

    def tail(self, at: int, end: int, times: int = 1) -> int:
        """End of the last byte in [at, end) that is not erased; `at` if all are.

        Read `times` times: after a power cut a cell may read either way.
        """
        for _ in range(times):
            pos = end
            while pos > at:
                n = min(_PAGE, pos - at)
                part = self.view[:n]
                self.region.peek(pos - n, part)
                n -= len(bytes(part).rstrip(b"\xff"))
                pos -= n
                if n < len(part):
                    break
            at = max(at, pos)
        return at

    def seed(self, at: int) -> int:
        """What the check of a record at `at` starts from: its sector's life and its place."""
        return seed(self._place, self.seq[at // self.sector], at % self.sector)

    def crc(self, at: int, n: int, crc: int) -> int:
        """Continue crc over n bytes of flash; -1 if some of them cannot be read."""
        while n > 0:
            part = self.view[: min(n, _BUFFER)]
            if not self.region.peek(at, part):
                return -1
            crc = crc32(part, crc)
            at += len(part)
            n -= len(part)
        return crc

    def record(self, at: int, end: int) -> int:
        """Length with padding of the record at `at`, 0 if no valid one is there."""
        if at == self.held_at:
            return self.take_held()
        if at + HEAD > end:
            return 0
        if not self.region.peek(at, self._first8):
            return 0
        stored, vlen, klen, kind = unpack("<IHBB", self._first8)
        if not SET <= (kind & 0x7F) <= ERASING or at + HEAD + klen + vlen > end:
            return 0
        crc = crc32(self._after4, self.seed(at))
        size = klen + vlen
        if size > _BUFFER:
            found = self._walk(at + HEAD, size, 0 if kind & 0x7F == BATCH else klen, crc)
        else:
            found = self.crc(at + HEAD, size, crc)
        if found != stored:
            return 0
        self.sums = crc, stored
        self.kind = kind
        self.klen = klen
        self.vlen = vlen
        return self.length(klen + vlen)

    def take_held(self) -> int:
        """As record() of the held record, which was checked when it was read."""
        self.vlen, self.klen, self.kind = unpack("<HBB", self.held[4:HEAD])
        return align(len(self.held), self.unit)

    def _walk(self, at: int, size: int, klen: int, crc: int) -> int:
        """As crc() for a body that is longer than the buffer; what was checked counts, so the
        keys are kept in self.long: (offset, kind, key, length of value) of each operation.

        klen: of the key of a record of its own, 0 for a batch.
        """
        self.long = []
        end = at + size
        while at < end and crc >= 0:
            op, kind, vlen = at - 4, 0, end - at - klen
            if not klen:  # an operation of a batch
                n = 4 if at + 4 <= end else end - at
                crc = self.crc(at, n, crc)
                if crc < 0:
                    break
                vlen, klen, kind = unpack("<HBB", self.view[:4])
                op = at
                at += n
                if n < 4 or at + klen + vlen > end:
                    return self.crc(at, end - at, crc) if at < end else crc
            if klen:
                crc = self.crc(at, klen, crc)
            self.long.append((op, kind & ~IN_BATCH, bytes(self.view[:klen]), vlen))
            at += klen
            if vlen and crc >= 0:
                crc = self.crc(at, vlen, crc)
            at += vlen
            klen = 0
        return crc

    def scan(self, s: int, times: int = 1) -> "Steps":
        """Yield (offset, length) for each valid record of sector s, in order.

        What lies between and is neither record nor erased comes as (offset, -length). A
        damaged record hides nothing but itself: after it each unit is tried.
        """
        at = self.first(s)
        end = (s + 1) * self.sector
        torn = last = -1
        while at < end:
            n = self.record(at, end)
            if n:
                if torn >= 0:
                    kind, klen, vlen = self.kind, self.klen, self.vlen
                    yield torn, torn - at
                    self.kind, self.klen, self.vlen = kind, klen, vlen
                    torn = -1
                yield at, n
                at += n
                continue
            if torn < 0:
                if last <= at:
                    last = self.tail(at, end, times)
                    if last == at:
                        return
                torn = at
            at += self.unit
            if at >= last:
                yield torn, torn - at
                return

    def ops(self, at: int) -> "Steps":
        """Yield (offset, kind, klen, vlen) for each SET and DEL of the record just read."""
        kind = self.kind & 0x7F
        if kind in (SET, DEL):
            yield at + 4, kind, self.klen, self.vlen
        elif kind == BATCH:
            at += HEAD
            end = at + self.vlen
            head = bytearray(4)
            while at + 4 <= end:
                part = self.part(at, 4)
                if type(part) is tuple:
                    self.region.read(at, head)
                else:
                    head[:] = part
                vlen, klen, kind = unpack("<HBB", head)
                if at + 4 + klen + vlen > end:
                    return
                yield at, kind & ~IN_BATCH, klen, vlen
                at += 4 + klen + vlen

    def part(self, at: int, n: int) -> "Any":
        """n bytes at `at` for emit(): bytes of the held record, or (at, n) for any other."""
        i = at - self.held_at
        if self.held_at >= 0 and 0 <= i < len(self.held):
            return memoryview(self.held)[i : i + n]
        return at, n

    # -- writing

    def emit(self, at: int, kind: int, klen: int, vlen: int, parts: "Any") -> None:
        """Program a record at `at`: one program call unless it is longer than the buffer.

        parts: key, value and so on, each bytes-like or (offset, length) on flash.
        Raises FlashError "io", "verify".
        """
        head = self._head
        pack_into("<HBB", head, 4, vlen, klen, kind)
        crc = crc32(memoryview(head)[4:HEAD], self.seed(at))
        for part in parts:
            crc = self.crc(part[0], part[1], crc) if type(part) is tuple else crc32(part, crc)
        pack_into("<I", head, 0, crc)
        pos = 0
        for part in [memoryview(head)[:HEAD]] + list(parts):
            flash = part[0] if type(part) is tuple else -1
            n = part[1] if flash >= 0 else len(part)
            done = 0
            while done < n:
                k = min(n - done, _BUFFER - pos)
                if flash >= 0:
                    self.region.read(flash + done, self.view[pos : pos + k])
                else:
                    self.view[pos : pos + k] = memoryview(part)[done : done + k]
                pos += k
                done += k
                if pos == _BUFFER:
                    self.region.program(at, self._buf)
                    at += pos
                    pos = 0
        if pos:
            n = align(pos, self.unit)
            self.view[pos:n] = b"\xff" * (n - pos)
            self.region.program(at, self.view[:n])
