"""The state record of a component: one KV value, written whole, the only truth about boot.

Layout of the record in docs/format.md section 5. Every change of state goes through Slots.save(),
which rejects moves that state/__init__.py does not have.
"""

import struct
from hashlib import sha256

from .. import state
from ..compat import const, random_bytes
from ..errors import FlashError
from ..modules import load

if False:  # for type checkers
    from ota_hints import Any

_VERSION = const(2)
_HEAD = const("<BBBBBBH8sII8s8s8s")
_IMAGE = const("<16sII32s")
_IMAGE_SIZE = const(56)
NONE = const(255)
SIZE = const(216)  # bytes of a record
_SECRET = const(8)
PROGRESS = const(32)  # bytes of what a strategy may keep under key + AT
AT = const(".at")


class Image:
    """Facts of an image: version (text), floor, size in bytes, digest (32 bytes)."""

    def __init__(self, version: str = "", floor: int = 0, size: int = 0, digest: bytes = b""):
        self.version = version
        self.floor = floor
        self.size = size
        self.digest = digest

    def pack(self) -> bytes:
        """The bytes kept in the record."""
        return struct.pack(_IMAGE, self.version.encode(), self.floor, self.size, self.digest)


def image(data: bytes, offset: int) -> Image:
    """The image at an offset of a record. Raises FlashError "corrupt"."""
    version, floor, size, digest = struct.unpack_from(_IMAGE, data, offset)
    version = version.rstrip(b"\0")
    # As package.version() accepts it, or empty; that is not loaded at every start.
    parts = [len(part) for part in version.split(b".")]
    if version.strip(b".0123456789") or len(version) > 15 or len(parts) > 4 or max(parts) > 5:
        raise FlashError("corrupt", offset)
    if version and not all(parts):
        raise FlashError("corrupt", offset)
    return Image(version.decode(), floor, size, digest)


class Record:
    """State of one component.

    active, previous   slot numbers, NONE for none
    tries              starts left of a trial, or attempts left of an apply
    reason             code of the last failure or rollback, 0 for none
    secret             8 bytes that prove that a journal mark belongs to this apply
    sequence, month    of the newest accepted manifest; month: clock.since(), 0 if not known
    floor              lowest security version that may run
    package, refused   first 8 bytes of the digest of the package being received or applied, and
                       of the last rejected one
    seen               first 8 bytes of the digest of the last reverted image
    image, old, new    Image of the active slot, the previous one, and the one being installed
    """

    def __init__(self):
        self.state = state.IDLE
        self.active = 0
        self.previous = NONE
        self.tries = 0
        self.month = 0
        self.reason = 0
        self.sequence = self.floor = 0
        self.secret = self.package = self.seen = self.refused = bytes(8)
        self.image = Image()
        self.old = Image()
        self.new = Image()

    def pack(self) -> bytes:
        """The KV value."""
        return (
            struct.pack(
                _HEAD, _VERSION, self.state, self.active, self.previous, self.tries, self.month,
                self.reason, self.secret, self.sequence, self.floor, self.package, self.seen,
                self.refused,
            )
            + self.image.pack()
            + self.old.pack()
            + self.new.pack()
        )  # fmt: skip

    def renew(self) -> None:
        """Draw the secret of a new apply: journal marks of an earlier one, or planted by somebody,
        do not count in it. It is only as random as the clock on ports without random bytes."""
        self.secret = sha256(self.secret + random_bytes(16)).digest()[:_SECRET]


def unpack(data: bytes, strategy: str = "") -> Record:
    """The record in a KV value, of this layout or the one before.

    Args:
        strategy: its name, "" for any.
    Raises:
        FlashError: "corrupt" for another layout, and for values that no boot or update of that
            strategy writes.
    """
    r = head(data)
    end = len(data)
    r.image = image(data, end - 3 * _IMAGE_SIZE)
    r.old = image(data, end - 2 * _IMAGE_SIZE)
    r.new = image(data, end - _IMAGE_SIZE)
    slots = state.facts(strategy)[1] if strategy else "10"
    runs = r.state in (state.IDLE, state.TRIAL, state.BACK)
    if (
        r.state > state.RESCUE
        or r.active >= len(slots)
        or (strategy and r.previous not in (int(slots[r.active]), NONE))
        or (strategy and r.state == state.APPLY and not state.may(strategy, state.READY, r.state))
        or (runs and not r.image.size)
        or (r.state == state.BACK and r.previous == NONE)
        or (r.previous != NONE and not r.old.size)
        or (r.state in (state.FETCH, state.READY, state.APPLY) and not r.new.size)
    ):
        raise FlashError("corrupt", r.state)
    return r


def head(data: bytes) -> Record:
    """The record without its images, not validated. Raises FlashError "corrupt"."""
    if len(data) != SIZE or data[0] != _VERSION:
        return load("state.old").first(data, Record())
    r = Record()
    (_, r.state, r.active, r.previous, r.tries, r.month, r.reason, r.secret, r.sequence,
     r.floor, r.package, r.seen, r.refused) = struct.unpack_from(_HEAD, data)  # fmt: skip
    return r


class Slots:
    """Load and save the record of one component.

    Args:
        kv: a mounted kv.Store.
        component: name of the slot pair; the record's key is "ota." and this name.
        strategy: its name, for the moves that are allowed.
    """

    def __init__(self, kv, component: str, strategy: str):
        self._kv = kv
        self.key = "ota." + component
        self._strategy = strategy
        self._senseless = False  # the record, when it was loaded

    def load(self) -> "Any":
        """The record, or None before the first boot. An invalid value is read as RESCUE with the
        reason "corrupt". Raises FlashError."""
        data = self._kv.get(self.key)
        if data is None:
            return None
        try:
            return unpack(data, self._strategy)
        except FlashError:
            self._senseless = True
            r = Record()
            r.state = state.RESCUE  # nothing of an unknown layout is trusted
            try:
                r = head(data)
                r.new = image(data, len(data) - 3 * _IMAGE_SIZE)
            except FlashError:
                pass
            return load("state.old").mend(r, self._strategy)

    def prepare(self, count: int) -> None:
        """Make room for `count` saves, see kv.Store.prepare(). Raises FlashError."""
        data = self._kv.get(self.key)
        if data is not None and len(data) != SIZE:
            # The earlier layout: replaced now, since that needs the store's code. If power goes
            # here, either record says the same.
            self._kv.set(self.key, self.load().pack())
        self._kv.prepare(count, len(self.key) + SIZE)

    def save(self, record: Record) -> None:
        """Write the record: one atomic step. Raises StateError "state", FlashError.

        If power goes here, the old record or this one is read, never a mix.
        """
        old = self._kv.get(self.key)
        if old is not None:
            # An invalid record was read as RESCUE.
            now = state.RESCUE if self._senseless or len(old) < 2 else min(old[1], state.RESCUE)
            state.check(self._strategy, now, record.state)
            old = None  # its memory is for the new one
        self._kv.set(self.key, record.pack())
        self._senseless = False
