"""The store as a board opens it: reads a settled store without the code of the whole one.

Most starts read one record, most writes replace it by one of the same length (kv/append.py).
kv/full.py and its parts (index, next sector, repair) are loaded for everything else, or when
flash leaves a doubt. Layout: docs/format-kv.md.
"""

from binascii import crc32
from struct import unpack, unpack_from

from ..compat import const
from ..errors import FlashError
from ..modules import load
from . import layout

if False:  # for type checkers
    from ota_hints import KV, Buffer

_BUFFER = const(256)  # a state record fits
_PIECE = const(128)  # looked at for being erased: a copy of it must find room, too
_AGAIN = const(512)  # of it, at each look: the longest record appended, in the largest unit


class Store:
    """A kv.full.KV over region, loaded only while it is needed; all its names work here.

    Hold this object rather than the KV: it stays valid when the KV is released.
    tail: end of the log; start, number and unit of the newest sector, as look() found them.
    own: offset of the first record that kv/append.py wrote there without proof, 0 for none.
    spent: number of the sector, and end of the place where a program of kv/append.py failed.
    """

    def __init__(self, region):
        self.region = region
        self._kv = None
        self.tail = None
        self.own = 0
        self.spent = (0, 0)

    def mount(self) -> None:
        """As KV.mount(). Raises FlashError."""
        self._kv = None
        self.own = 0
        if self.look(b"", layout.READS) is None:
            self.full()

    def get(self, key: str) -> bytes | None:
        """As KV.get(). Raises FlashError."""
        if self._kv is None:
            found = self.look(key.encode(), 1)
            if found:
                return found[0]
        return self.full().get(key)

    def set(self, key: str, value: "Buffer") -> None:
        """As KV.set(); appends without the KV if the value has the length of the one before and
        the newest sector has room. Raises FlashError."""
        if self._kv is None:
            if load("kv.append").replace(self, key.encode(), value):
                return
        self.full().set(key, value)

    def sync(self) -> None:
        """As KV.sync(); does nothing if nothing was written. Raises FlashError."""
        if self._kv is not None:
            self._kv.sync()
        elif self.own:
            load("kv.append").prove(self)

    def prepare(self, count: int, length: int) -> None:
        """Make room for appending without the KV, opening the next sector if that helps.

        For the time before memory is short.

        Args:
            count: values to be appended.
            length: bytes of each, key included.
        Raises:
            FlashError: as KV.prepare().
        """
        if self._kv is None:
            if load("kv.append").fits(self, count, length):
                return
        self.full().prepare(count, length)

    def full(self) -> "KV":
        """The KV itself, mounted; valid until release(). Raises FlashError."""
        if self._kv is None:
            self.sync()
            kv = load("kv.full").KV(self.region)
            kv.ring.spent = self.spent
            kv.mount()
            self._kv = kv
        return self._kv

    @property
    def loaded(self) -> bool:
        """True while the KV is loaded."""
        return self._kv is not None

    def release(self) -> None:
        """Prove what was written and drop the KV. Raises FlashError."""
        self.sync()
        if self._kv is not None:
            self._kv = self.tail = None  # flash is not as a look found it

    def __getattr__(self, name):
        return getattr(self.full(), name)

    def look(self, name: bytes, times: int) -> tuple | None:
        """Read the value of name from a settled store.

        Args:
            times: how often flash that looks erased is read before it is believed. Where it
                was believed before, and not written since, only the beginning is read.
        Returns:
            (value or None,), or None if KV.mount() may have something to repair.
        """
        try:
            return self._walk(name, times)
        except FlashError:
            return None

    def _walk(self, name, times):
        buf = memoryview(bytearray(_BUFFER))
        align = layout.align
        unit, used, free, born = self._sectors(buf, times)
        if not used or not free or unit % self.region.program_size:
            return None
        found = None
        proven = True
        newest = max(used)[0]
        for number, start in sorted(used):
            at = start + 2 * align(layout.HEADER, unit)
            end = start + self.region.sector_size
            floor = 0
            while at < end:
                size, klen, kind = self._record(buf, at, end, number, at - start)
                if size < 0:
                    if not self._blank(buf, at, end, times):
                        return None
                    break
                ours = number == newest and 0 < self.own <= at  # and came back
                at += align(layout.HEAD + size, unit)
                if kind == layout.SYNC:
                    proven = True
                elif kind in (layout.ACTIVE, layout.ERASING):
                    a, b, c = unpack("<III", buf[:size])
                    if kind == layout.ACTIVE:
                        floor, a, b = a, b, c
                    # Erased fewer times than a note promised: that was cut.
                    if free.get(a * self.region.sector_size, b) < b:
                        return None
                    if kind == layout.ERASING and born.get(a * self.region.sector_size, b) < b:
                        return None
                elif kind & 0x7F in (layout.SET, layout.DEL):
                    proven = proven and (kind & layout.COPY or ours)
                    if buf[:klen] == name:
                        if size > _BUFFER:
                            return None
                        found = bytes(buf[klen:size]) if kind & 0x7F == layout.SET else None
                elif kind & 0x7F == layout.BATCH:
                    proven = proven and kind & layout.COPY
                    if size > _BUFFER:
                        return None
                    i = 0
                    while i < size:
                        vlen, klen, kind = unpack_from("<HBB", buf, i)
                        i += 4 + klen
                        if buf[i - klen : i] == name:
                            found = (
                                bytes(buf[i : i + vlen])
                                if kind & 0x7F == layout.IN_BATCH | layout.SET
                                else None
                            )
                        i += vlen
                else:
                    return None
        # Room for one more marker, nothing superseded, and the last write was proven.
        if not proven or not 0 < floor <= min(used)[0] or at + align(layout.MARKER, unit) > end:
            return None
        self.tail = at, start, number, unit
        return (found,)

    def _sectors(self, buf, times):
        """(unit, [(number, offset) of sectors in use], {offset: erases} of free ones, the same
        of those in use)."""
        sector = self.region.sector_size
        unit = 0
        used = []
        free = {}
        alive = {}
        for at in range(0, self.region.size // sector * sector, sector):
            born = self._header(buf, at, layout.BIRTH)
            if not born or born[0] != sector or unit not in (0, born[2]):
                return 1, (), (), ()
            unit = born[2]
            begin = at + layout.align(layout.HEADER, unit)
            opened = self._header(buf, begin, layout.OPEN)
            if opened:
                used.append((opened[0], at))
                alive[at] = opened[1]
            elif self._blank(buf, begin, at + sector, times):
                free[at] = born[1]
            else:
                return 1, (), (), ()
        return unit, used, free, alive

    def _header(self, buf, at, magic):
        self.region.read(at, buf[: layout.HEADER])
        return layout.header(buf, magic) if buf[3] == magic[3] else None

    def _record(self, buf, at, end, number, place):
        """(length of key and value, length of key, kind); a length of -1 if no valid record is
        here. buf then begins with key and value, or with the key alone if it is too short."""
        head = buf[: layout.HEAD]
        if at + len(head) <= end:
            self.region.read(at, head)
            check, vlen, klen, kind = unpack("<IHBB", head)
            crc = crc32(head[4:], layout.seed(bytearray(8), number, place))
            size = klen + vlen
            at += len(head)
            if at + size <= end:
                for i in range(at, at + size, _BUFFER):
                    part = buf[: min(_BUFFER, at + size - i)]
                    self.region.read(i, part)
                    crc = crc32(part, crc)
                if crc == check:
                    if size > _BUFFER and klen:
                        self.region.read(at, buf[:klen])
                    return size, klen, kind
        return -1, 0, 0

    def _blank(self, buf, at, end, times):
        """True if [at, end) reads as erased, `times` times."""
        if self.tail and times == 1:
            # Enough to see a header or a record that did not read as one, and the next place.
            end = min(end, at + _AGAIN)
        for _ in range(times):
            for i in range(at, end, _PIECE):
                part = buf[: min(_PIECE, end - i)]
                self.region.read(i, part)
                if bytes(part).rstrip(b"\xff"):
                    return False
        return True
