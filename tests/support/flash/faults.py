"""What is left on the mock's flash when power goes in the middle of an operation.

Every cut effect of nor.py, for a program and for an erase. A unit is one of

    FREE    erased, may be programmed        USED   programmed, or only half erased
    TORN    half programmed or half erased: with ECC, reading it is an error
    FAINT   looks erased after a cut program: with ECC, programming it is an error
    STUCK   an erase that silently did nothing: a program only takes bits away
"""

FREE, USED, TORN, FAINT, STUCK = 0, 1, 2, 3, 4

# What power may do to an operation when it goes.
CUTS = ("before", "middle", "after")  # the short list: "middle" is one of the four below it
TEARS = ("prefix", "suffix", "bits", "zeros")
WEAK = ("weak", "blank-weak")
EFFECTS = ("before", "after") + TEARS + WEAK + ("ecc", "collateral")
# What an operation may do without a cut.
FAILURES = ("stuck", "error")

_POOL = 16384  # bytes of noise; random bits for whole sectors are slices of it


def _noise(state):
    out = bytearray(_POOL)
    for i in range(_POOL):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        out[i] = state >> 16 & 0xFF
    return bytes(out)


_NOISE = _noise(20260101)


class Random:
    """The mock's dice: the same seed gives the same cuts on every interpreter."""

    def __init__(self, seed):
        self.state = seed

    def below(self, n):
        """A number from 0 to n - 1."""
        self.state = (self.state * 1103515245 + 12345) & 0x7FFFFFFF
        return (self.state >> 8) % n

    def bits(self, n):
        """n random bytes as an integer."""
        out = 0
        while n > 0:
            k = min(n, _POOL // 2)
            at = self.below(_POOL - k)
            out = out << 8 * k | int.from_bytes(_NOISE[at : at + k], "little")
            n -= k
        return out


def tear_program(nor, effect, offset, data):
    """Power goes while data is programmed at offset."""
    n = len(data)
    size = nor.program_size
    dice = nor.dice
    first = offset // size
    if effect == "before":
        return
    if effect == "after":
        nor.put(offset, data)
        nor.mark(first, n // size, USED)
        return
    if effect == "blank-weak":
        k = 1 + dice.below(n // size)
        nor.mark(first, k, FAINT)
        return
    if effect == "weak":
        _weak_program(nor, offset, data)
        return
    if effect in ("suffix", "bits"):
        old = int.from_bytes(nor.erased(n), "little")
        want = int.from_bytes(bytes(data), "little")
        if effect == "bits":
            missing = dice.bits(n)
        else:  # some parts program out of order: the end is there, the beginning is not
            k = dice.below(n)
            missing = (1 << 8 * k) - 1 & dice.bits(n) | (1 << 8 * (k // 2)) - 1
        nor.put(offset, (want | old & missing).to_bytes(n, "little"))
        _marked(nor, offset, data, first, n // size)
        return
    # prefix; there are no zeros in a program, and "ecc" is one whose last unit is torn
    k = dice.below(n)
    nor.put(offset, memoryview(data)[:k])
    nor.put(offset + k, bytes([data[k] | dice.below(256)]))
    torn = k // size
    _marked(nor, offset, data, first, torn + 1)
    if effect == "ecc" and nor.ecc:
        nor.mark(first + torn, 1, TORN)
    if effect == "collateral":
        sector = nor.sector_of(offset)
        start, length = nor.sectors[sector]
        for _ in range(1 + dice.below(8)):
            at = start + dice.below(length)
            if not offset <= at < offset + n:
                nor.put(at, bytes([nor.data[at] ^ 1 << dice.below(8)]))


def _marked(nor, offset, data, first, units):
    """Whole units are used, half ones torn; what shows nothing cannot be told from erased."""
    size = nor.program_size
    blank = nor.erased(size)
    for u in range(units):
        at = offset + u * size
        seen = bytes(nor.data[at : at + size])
        if seen == blank:  # even if that is what was to be programmed: nobody can see it
            nor.mark(first + u, 1, FAINT)
        elif seen == bytes(data[u * size : u * size + size]):
            nor.mark(first + u, 1, USED)
        else:
            nor.mark(first + u, 1, TORN)


def _weak_program(nor, offset, data):
    # A solid part, then units whose programmed bits read either way: about half of them, or
    # all is there but for a few, or a few are there and nothing else.
    n = len(data)
    size = nor.program_size
    dice = nor.dice
    first = offset // size
    ones = int.from_bytes(nor.erased(n), "little")
    target = ones ^ int.from_bytes(bytes(data), "little")
    kind = dice.below(3)
    if kind == 0:
        solid = dice.below(n // size)
        end = min(n // size, solid + 1 + dice.below(2))
        k, k2 = solid * size, end * size
        nor.put(offset, memoryview(data)[:k])
        mask = target >> 8 * k & dice.bits(k2 - k) & (1 << 8 * (k2 - k)) - 1
        if mask:
            nor.weaken(offset + k, k2 - k, mask)
        _marked(nor, offset, data, first, solid)
        nor.mark(first + solid, end - solid, FAINT)
        return
    mask = _few(dice, target, n)
    if kind == 1:
        # A weak bit reads as put, or flipped.
        nor.put(offset, data)
        nor.mark(first, n // size, USED)
    else:
        for u in range(n // size):
            if mask >> 8 * u * size & (1 << 8 * size) - 1:
                nor.mark(first + u, 1, FAINT)
    if mask:
        nor.weaken(offset, n, mask)


def _few(dice, bits, n):
    """One to three of the bits set in a number of n bytes."""
    few = 0
    for _ in range(1 + dice.below(3)):
        at = dice.below(8 * n)
        rest = bits >> at << at or bits
        few |= rest & -rest
    return few


def tear_erase(nor, effect, at, n):
    """Power goes while the sector of n bytes at `at` is erased."""
    dice = nor.dice
    size = nor.program_size
    units = n // size
    if effect == "before":
        return
    if effect == "after":
        nor.wipe(at, n)
        return
    # Whatever it reads as now, only a completed erase makes it programmable again.
    nor.mark(at // size, units, USED)
    old = int.from_bytes(bytes(nor.data[at : at + n]), "little")
    ones = int.from_bytes(nor.erased(n), "little")
    if effect in ("weak", "blank-weak"):
        nor.solid(at, n)
        kind = dice.below(3) if effect == "weak" else -1
        mask = ones ^ old
        if kind != 2:
            nor.put(at, nor.erased(n))
        if kind == 0:  # about half of the bits read either way
            mask &= dice.bits(n)
        elif kind > 0:  # all but a few are erased, or nothing but a few
            mask = _few(dice, mask, n)
        if kind >= 0 and mask:
            nor.weaken(at, n, mask)
    elif effect == "bits":
        nor.put(at, (old | ones & (dice.bits(n) | dice.bits(n))).to_bytes(n, "little"))
    elif effect == "zeros":
        # Cells are brought to zero first; random ones are there already.
        k = n // 2
        start = at + dice.below(2) * (n - k)
        half = int.from_bytes(bytes(nor.data[start : start + k]), "little")
        nor.put(start, (half & dice.bits(k)).to_bytes(k, "little"))
    elif effect == "suffix":
        k = 1 + dice.below(n - 1)
        nor.put(at + k, nor.erased(n - k))
    else:
        k = 1 + dice.below(n - 1)
        nor.put(at, nor.erased(k))
        if effect == "ecc" and nor.ecc:
            for u in range(units):
                if dice.below(2):
                    nor.mark(at // size + u, 1, TORN)
