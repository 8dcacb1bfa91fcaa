"""A key-value store on raw flash that survives a power cut at any moment.

    kv = KV(region)
    kv.mount()
    kv.set("ota.app", state)
    kv.batch([("url", b"https://..."), ("old", None)])    # all of it or nothing

Values are bytes. A set is one program call. docs/format-kv.md has layout and reasons.
"""

from binascii import crc32

from ..compat import const
from ..errors import FlashError
from .index import OWN, Index
from .layout import BATCH, DEL, HEAD, IN_BATCH, SET, SYNC
from .log import Log
from .recover import recover
from .ring import Ring

if False:  # for type checkers
    from ota_hints import Buffer, Steps, Writable

_RESERVE = const(1024)


class KV:
    """The store in a region of at least two sectors; damaged: torn places at the last mount.

    Args:
        reserve: bytes of live records that only keys starting with "ota." may take, and
            deletes; at most a quarter of the capacity, and one record at most half of it.
    """

    def __init__(self, region, reserve: int = _RESERVE):
        self.region = region
        self.log = Log(region)
        self.index = Index(self.log)
        self.ring = Ring(self.log, self.index)
        self.damaged = 0
        self._wish = reserve
        self._ready = self._fresh = False

    def mount(self) -> None:
        """Read the store and repair what a power cut left; format blank or foreign flash.

        A store of ours is never formatted because of damage.

        Raises:
            FlashError: "corrupt" if nothing of it can be read, "magic" for a newer layout,
                "config" for a geometry that does not fit, "erased" for flash that does not
                erase to 0xFF, "io", "verify".
        """
        self._ready = self._fresh = False
        for attempt in range(self.log.tries):
            try:
                self.damaged = recover(self.ring)
                self._ready = True
                return
            except FlashError as e:
                if e.reason not in ("io", "verify") or attempt == self.log.tries - 1:
                    raise

    def format(self) -> None:
        """Drop all keys; atomic if the store is mounted. Raises FlashError."""
        ready = self._ready
        self._ready = False
        if ready:
            self.ring.clear()
        else:
            self.ring.create()
        self._ready = True

    def get(self, key: str) -> bytes | None:
        """The value of key as bytes, None if there is none.

        Raises FlashError "crc" if the record was damaged since mount(), "io".
        """
        self._mounted()
        name = _name(key)
        log, index = self.log, self.index
        i = index.find(name)
        if i < 0:
            return None
        op = index.at[i]
        head = bytes(log.view[: HEAD + len(name)])
        value = bytearray(index.vlen)
        if value:
            self.region.read(op + 4 + len(name), value)
        if not head[7] & IN_BATCH:
            crc = crc32(value, crc32(head[4:], log.seed(op - 4)))
            if crc != int.from_bytes(head[:4], "little"):
                raise FlashError("crc", op)
        return bytes(value)

    def readinto(self, key: str, buf: "Writable", offset: int = 0) -> int:
        """Fill buf from byte `offset` of the value of key, for values too long to hold.

        At offset 0 the whole value is checked first.

        Returns:
            bytes read, 0 behind the end, -1 if there is no such key.
        Raises FlashError "crc", "io".
        """
        self._mounted()
        name = _name(key)
        log, index = self.log, self.index
        i = index.find(name)
        if i < 0:
            return -1
        op, size = index.at[i], index.vlen
        if not offset:
            head = bytes(log.view[:HEAD])
            crc = crc32(head[4:], log.seed(op - 4))
            stored = int.from_bytes(head[:4], "little")
            if not head[7] & IN_BATCH and log.crc(op + 4, len(name) + size, crc) != stored:
                raise FlashError("crc", op)
        n = max(0, min(len(buf), size - offset))
        if n:
            self.region.read(op + 4 + len(name) + offset, memoryview(buf)[:n])
        return n

    def set(self, key: str, value: "Buffer") -> None:
        """Store value, bytes-like, under key; an equal value is not written again.

        Raises FlashError "full" before anything is written, "io", "verify".
        """
        if value is None:
            raise TypeError("value")
        self.batch(((key, value),))

    def delete(self, key: str) -> None:
        """Remove key if it is there. Raises as set()."""
        self.batch(((key, None),))

    def batch(self, pairs: list | tuple) -> None:
        """Do all of pairs (key, value, or None to delete) or nothing. Raises as set()."""
        ops = {}
        for key, value in pairs:
            if isinstance(value, str):
                raise TypeError("value")
            if value is not None:
                value = memoryview(value)
                if len(value) > 0xFFFF:
                    raise FlashError("full", len(value))
            ops[_name(key)] = value
        for attempt in range(self.log.tries):
            self._mounted()
            try:
                self._commit(ops)
                return
            except FlashError as e:
                # A program that did not stick: mount() leaves its place behind.
                if e.reason not in ("io", "verify") or attempt == self.log.tries - 1:
                    raise

    def sync(self) -> None:
        """Prove the last write, so that the next mount() need not repeat it.

        For the end of a boot that wrote something; set() is safe without. Raises FlashError.
        """
        self._mounted()
        if self._fresh:
            self._ready = False
            ring = self.ring
            ring.put(ring.room(self.log.length(0)), SYNC, 0, 0, ())  # a data record left room
            self._ready = True
        self._fresh = False

    def prepare(self, count: int, length: int) -> None:
        """Open the next sector now if the newest has no room for count values of length
        bytes, key included, and an empty one has; erases at most one sector.

        Raises FlashError "corrupt".
        """
        self._mounted()
        log, ring = self.log, self.ring
        size = count * log.length(length) + 2 * log.marker
        most = log.sector - 2 * log.header - log.marker - sum(self.index.used)
        if ring.end + size <= (ring.newest + 1) * log.sector or size > most:
            return
        self._ready = False
        try:
            ring.advance()
            self._ready = True
        except FlashError as e:
            if e.reason not in ("io", "verify"):  # the next write mounts and tries again
                raise

    def keys(self) -> list:
        """All keys, in no order."""
        self._mounted()
        found = []
        index = self.index
        read = self.region.read
        for i in range(index.count):
            op = index.at[i]
            head = bytearray(4)
            read(op, head)
            key = bytearray(head[2])
            read(op + 4, key)
            found.append(bytes(key).decode())
        return found

    def items(self) -> "Steps":
        """Yield (key, value) of each key, in no order."""
        for key in self.keys():
            value = self.get(key)
            if value is not None:
                yield key, value

    # -- writing

    def _mounted(self) -> None:
        # Also after an exception in the midst of a write: flash knows, the index may not.
        if not self._ready:
            self.mount()

    def _commit(self, ops) -> None:
        index = self.index
        length = self.log.length
        todo = []
        body = before = after = 0
        own = True
        for name, value in ops.items():
            i = index.find(name)
            old = index.vlen if i >= 0 else -1
            if value is None:
                if i < 0:
                    continue
            else:
                at = index.at[i] + 4 + len(name) if i >= 0 else 0
                if old == len(value) and (not old or self.region.equal(at, value)):
                    continue
                own = own and name.startswith(OWN)
                after += length(len(name) + len(value))
            if i >= 0:
                before += length(len(name) + old)
            todo.append((name, value))
            body += len(name) + (len(value) if value is not None else 0)
        if not todo:
            return
        if len(todo) > 1:
            body += 4 * len(todo)
        size = length(body)
        self._check_room(size, after - before, own)
        self._ready = False
        self._write(todo, body, size)
        self._ready = self._fresh = True

    def _write(self, todo, body: int, size: int) -> None:
        ring = self.ring
        apply = self.index.apply
        at = ring.room(size, 2 * self.log.marker)
        if len(todo) == 1:
            name, value = todo[0]
            kind = DEL if value is None else SET
            ring.put(at, kind, len(name), body - len(name), (name, value or b""))
            apply(at + 4, kind, name, body - len(name))
            return
        parts = []
        for name, value in todo:
            n = 0 if value is None else len(value)
            kind = DEL if value is None else SET
            parts.append(bytes((n & 0xFF, n >> 8, len(name), kind | IN_BATCH)) + name)
            parts.append(value or b"")
        ring.put(at, BATCH, 0, body, parts)
        at += HEAD
        for name, value in todo:
            n = 0 if value is None else len(value)
            apply(at, DEL if value is None else SET, name, n)
            at += 4 + len(name) + n

    def _check_room(self, size: int, more: int, own: bool) -> None:
        """Raise FlashError "full" unless a record of size bytes is sure to find room.

        Compaction moves whole sectors and merges none, so room is sure if the live records
        spread evenly leave it in each: some sector then has it.
        """
        log = self.log
        room = log.sector - 2 * log.header - 3 * log.marker
        full = log.sectors - 1
        user, ours = self.index.used
        ok = user + ours <= full * (room - size)
        if own:
            ok = ok and user + ours + more <= full * (room - size)
        else:
            reserve = min(self._wish, full * room // 4)
            ok = ok and user + more + max(ours, reserve) <= full * (room - max(size, reserve // 2))
        if not ok:
            raise FlashError("full", size)


def _name(key: str) -> bytes:
    if not isinstance(key, str):
        raise TypeError("key")
    name = key.encode()
    if not 0 < len(name) < 256:
        raise ValueError("key")
    return name
