"""Finding the sectors that count, whatever a power cut left: headers, ACTIVE records, the end."""

from struct import unpack

from ..compat import const
from ..errors import FlashError
from .layout import ACTIVE, BIRTH, COPY, ERASING, OPEN, READS
from .ring import BORN, FREE, UNFIT

if False:  # for type checkers
    from ota_hints import Log, Ring

_PAGE = const(256)


def classify(ring: "Ring") -> bool:
    """Read all headers; return True if this is a store of ours."""
    log = ring.log
    log.readable = False
    units = []
    if log.read_header(0, UNFIT):
        raise FlashError("erased", 0)
    for s in range(log.sectors):
        birth = log.read_header(s * log.sector, BIRTH)
        if birth:
            if birth[0] != log.sector or birth[2] % log.region.program_size:
                raise FlashError("config", s * log.sector)
            units.append(birth[2])
    unit = units[0] if units else log.region.program_size
    if unit != log.unit:
        log.use_unit(unit)
        ring.wear = [0] * log.sectors
    ours = alive = False
    for s in range(log.sectors):
        at = s * log.sector
        birth = log.read_header(at, BIRTH)
        ring.state[s] = BORN if birth else 0
        ring.wear[s] = birth[1] if birth else max(ring.wear)
        found = log.read_header(at + log.header, OPEN)
        log.seq[s] = found[0] if found else 0
        if found:
            ours = True
            ring.wear[s] = max(found[1], birth[1] if birth else 0)
            ring.next_seq = max(ring.next_seq, found[0] + 1)
        elif birth:
            start = at + log.header
            if s != ring.doubt and log.tail(start, at + log.sector, READS) == start:
                ring.state[s] = FREE
        if not found and _was_open(log, s):
            alive = True
    if not log.readable:
        raise FlashError("io", 0)  # a chip that is not there is not blank
    if alive and not ours:
        # A store whose every sector lost its header is damaged, not foreign.
        raise FlashError("corrupt", 0)
    return ours


def _was_open(log, s: int) -> bool:
    head = bytearray(4)
    log.region.peek(s * log.sector + log.header, head)
    if sum([head[i] == OPEN[i] for i in range(4)]) < 3:
        return False
    return log.tail(log.first(s), (s + 1) * log.sector) > log.first(s)


def choose(ring: "Ring") -> int:
    """Find the newest sector and the end of the log; return the lowest valid sequence.

    0 if no sector holds anything.
    """
    log = ring.log
    dropped = False
    while True:
        top = max(log.seq)
        if not top:
            return 0
        s = ring.newest = log.seq.index(top)
        floor = own = copies = 0
        ring.end = log.first(s)
        for at, n in log.scan(s, READS):
            ring.end = after(log, at, n)
            if n > 0 and log.kind == ACTIVE:
                floor = numbers(log)[0]
            elif n > 0 and log.kind & COPY:
                copies = 1
            elif n > 0:
                own = 1
        if ring.spent[0] == top:
            ring.end = max(ring.end, resume(log, ring.spent[1], ring.spent[1], s))
        if floor and not _reverted(ring, s):
            break
        if floor:
            log.seq[s] = 0
            dropped = True
            continue
        # No ACTIVE. With nothing but copies, and its source still there: an interrupted
        # copy, its source is complete. Otherwise the record itself was damaged.
        used = sum([q > 0 for q in log.seq])
        if dropped or own or (copies and used < log.sectors):
            floor = ring.oldest()
            break
        start = log.first(s) + log.marker
        if used == 1 and log.tail(start, (s + 1) * log.sector) != start:
            raise FlashError("corrupt", start)
        log.seq[s] = 0
        dropped = True
    for s in range(log.sectors):
        if log.seq[s] < floor:
            log.seq[s] = 0
    return floor


def _reverted(ring, s: int) -> bool:
    """True if an earlier boot began to erase sector s: its ACTIVE record was weak, did not
    show then and does now. The sector before it, which it was copied from, is whole."""
    log = ring.log
    rest = [q for q in log.seq if 0 < q < log.seq[s]]
    if rest:
        for _, n in log.scan(log.seq.index(max(rest))):
            if n > 0 and log.kind == ERASING:
                which, count, _ = numbers(log)
                if which == s and count > ring.wear[s]:
                    return True
    return False


def numbers(log: "Log") -> tuple:
    """The three numbers of the marker just read, as they were checked: a weak bit may read
    differently now."""
    return unpack("<III", log.view[:12])


def after(log: "Log", at: int, n: int) -> int:
    """Where the log continues behind what Log.scan() found: a record, or -n torn bytes."""
    return at + n if n > 0 else resume(log, at, at - n, at // log.sector)


def resume(log: "Log", start: int, at: int, s: int) -> int:
    """Where the log continues behind a torn place [start, at) in sector s.

    The page that was being programmed may hold cells that only look erased; a program
    longer than what shows continued into that page or the next. But no record reaches
    into the room that is kept for two markers, unless it is a marker itself: there a
    note that a sector is erased must find a place, whatever was cut.
    """
    last = (s + 1) * log.sector
    kept = max(last - 2 * log.marker, start + log.marker, at)
    at = (at + _PAGE - 1) // _PAGE * _PAGE
    return min(at + (_PAGE if log.unit < _PAGE else 2 * _PAGE), kept, last)
