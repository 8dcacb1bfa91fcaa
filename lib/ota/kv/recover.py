"""Settling the store after a boot, so that a power cut is over once and for all.

After it every answer stays the same on every later boot, even where a cell is half
programmed; a second boot in a row programs and erases nothing.
"""

from binascii import crc32
from struct import unpack

from ..errors import FlashError
from .layout import ACTIVE, HEAD, OPEN, SYNC, VOID
from .replay import OUTDONE, Replay
from .ring import BORN, FREE
from .scan import choose, classify

if False:  # for type checkers
    from ota_hints import Ring


def recover(ring: "Ring") -> int:
    """Bring the store into a settled state; return how many torn places were found.

    Raises FlashError "io", "verify" (try again), "corrupt", "config", "magic".
    """
    log = ring.log
    # After a failed program its place is spent, even if it reads as erased. What failed
    # elsewhere, a header or an erase, takes no room of the log.
    if ring.begun:
        ring.spent = max(ring.spent, (log.seq[ring.newest], ring.end))
        ring.begun = False
    log.held, log.held_at = b"", -1
    floor = choose(ring) if classify(ring) else 0
    if not floor:
        ring.create()
        return 0
    found = Replay(ring)
    found.run()
    damaged = len(found.torn)
    if found.last >= 0:
        _hold(ring, found.last)
    _erase(ring, floor)
    _settle(ring, found)
    log.held, log.held_at = b"", -1
    return damaged


def _hold(ring, at: int) -> None:
    """Read the last record once; it may read differently the next time."""
    log = ring.log
    head = bytearray(HEAD)
    log.region.read(at, head)
    _, vlen, klen, _ = unpack("<IHBB", head)
    held = bytearray(min(HEAD + klen + vlen, (at // log.sector + 1) * log.sector - at))
    log.region.read(at, held)
    stored = unpack("<I", held[:4])[0]
    if crc32(memoryview(held)[4:], log.seed(at)) != stored:
        raise FlashError("verify", at)
    log.held, log.held_at = bytes(held), at
    ring.index.forget(at, at + len(held))
    ring.apply_held()


def _erase(ring, floor: int) -> None:
    """Erase every sector that is neither in use nor free."""
    log = ring.log
    cramped = not ring.marker_fits()
    noted = -1
    for s in range(log.sectors):
        if cramped and ring.state[s] == FREE:
            ring.state[s] = BORN  # no room for a note: it may not be what it seems
        at = s * log.sector + log.header
        if log.seq[s] or ring.state[s] == FREE or noted >= 0:
            continue
        head = log.read_header(at, OPEN)
        if head and head[0] < floor and ring.marker_fits():
            # Superseded, and still there. The ACTIVE record that says so may be weak,
            # and once the erase began it is all that speaks for the newest sector.
            ring.mark(ring.end, ACTIVE, floor, s, ring.wear[s] + 1)
            noted = s
    for s in range(log.sectors):
        if not log.seq[s] and ring.state[s] != FREE:
            ring.recycle(s, s == noted)
    if cramped or not ring.marker_fits():
        ring.advance()


def _settle(ring, found) -> None:
    """Void what is torn, copy what may be weak, and prove both with a SYNC."""
    log = ring.log
    doubts = [v for v in found.voids[found.proven :] + found.torn if v[0] in log.seq]
    if not doubts and not log.held and found.last != OUTDONE:
        return
    for q, start, end in doubts:
        at = ring.room(log.marker)
        if q in log.seq:
            ring.mark(at, VOID, q, start, end)
    if log.held:
        ring.repeat(ring.room(log.take_held(), 2 * log.marker))
    ring.put(ring.room(log.length(0), log.marker), SYNC, 0, 0, ())
