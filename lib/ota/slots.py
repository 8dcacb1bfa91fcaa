"""The state record of a component: one KV value, written whole, the only truth about boot.

Layout of the record in docs/format.md section 5. Whoever changes the state goes through
Slots.save(), which refuses moves that state.py does not know.
"""

import struct

from . import state
from .compat import const
from .errors import FlashError

_VERSION = const(1)
_HEAD = const("<BBBBBBHIII8s8s")
_IMAGE = const("<16sII32s")
NONE = const(255)
SIZE = const(204)  # bytes of a record
PROGRESS = const(32)  # bytes of what a strategy may keep under key + AT
AT = const(".at")


class Image:
    """What is known of an image: version (text), floor, size in bytes, digest (32 bytes)."""

    def __init__(self, version: str = "", floor: int = 0, size: int = 0, digest: bytes = b""):
        self.version = version
        self.floor = floor
        self.size = size
        self.digest = digest

    def pack(self) -> bytes:
        """The bytes kept in the record."""
        return struct.pack(_IMAGE, self.version.encode(), self.floor, self.size, self.digest)


def _image(data, offset):
    version, floor, size, digest = struct.unpack_from(_IMAGE, data, offset)
    try:
        return Image(version.rstrip(b"\0").decode(), floor, size, digest)
    except ValueError:
        raise FlashError("corrupt", offset)


class Record:
    """State of one component. active, previous: slot numbers, NONE for none.

    tries: starts left of a trial. reason: code of the last refusal or rollback, 0 for none.
    journal: number of the apply in progress. sequence: of the newest manifest accepted.
    month: when that was issued, at the least, see clock.since(); 0 if it is not known.
    floor: lowest security version that may run. package: first 8 bytes of the digest of
    the package being received or applied; seen: of the one refused or rolled back last.
    image: of the active slot, old: of the previous one, new: the one on its way.
    """

    def __init__(self):
        self.state = state.IDLE
        self.active = 0
        self.previous = NONE
        self.tries = 0
        self.month = 0
        self.reason = 0
        self.journal = self.sequence = self.floor = 0
        self.package = self.seen = bytes(8)
        self.image = Image()
        self.old = Image()
        self.new = Image()

    def pack(self) -> bytes:
        """The KV value."""
        return (
            struct.pack(
                _HEAD, _VERSION, self.state, self.active, self.previous, self.tries, self.month,
                self.reason, self.journal, self.sequence, self.floor, self.package, self.seen,
            )
            + self.image.pack()
            + self.old.pack()
            + self.new.pack()
        )  # fmt: skip


def unpack(data) -> Record:
    """The record in a KV value. Raises FlashError "corrupt" for one of another layout."""
    _state(data)
    head = struct.calcsize(_HEAD)
    one = struct.calcsize(_IMAGE)
    r = Record()
    (_, r.state, r.active, r.previous, r.tries, r.month, r.reason, r.journal, r.sequence, r.floor,
     r.package, r.seen) = struct.unpack_from(_HEAD, data)  # fmt: skip
    r.image = _image(data, head)
    r.old = _image(data, head + one)
    r.new = _image(data, head + 2 * one)
    return r


def _state(data) -> int:
    """The state in a KV value. Raises FlashError "corrupt" for one of another layout."""
    if len(data) != SIZE or data[0] != _VERSION or data[1] > state.RESCUE:
        raise FlashError("corrupt", len(data))
    return data[1]


class Slots:
    """Load and save the record of one component.

    kv: a mounted KV. component: name of the slot pair, "app" by default. strategy: its
    name, for the moves that are allowed. key: of the record in the KV.
    """

    def __init__(self, kv, component: str, strategy: str):
        self._kv = kv
        self.key = "ota." + component
        self._strategy = strategy

    def load(self):
        """The record, or None before the first boot. Raises FlashError."""
        data = self._kv.get(self.key)
        return None if data is None else unpack(data)

    def prepare(self, count: int) -> None:
        """Have room for `count` saves, see kvstore.Store.prepare(). Raises FlashError."""
        self._kv.prepare(count, len(self.key) + SIZE)

    def save(self, record: Record) -> None:
        """Write the record: one atomic step. Raises StateError "state", FlashError.

        If power goes here, the old record or this one is read, never a mix.
        """
        old = self._kv.get(self.key)
        if old is not None:
            state.check(self._strategy, _state(old), record.state)
        self._kv.set(self.key, record.pack())
