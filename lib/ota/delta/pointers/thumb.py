"""Pointers of Thumb code in plain Python; thumb_viper.py is the fast form of the same meaning.

`apply(out, at, n, old, moved, spans, starts, shifts, count)` rewrites out[at : at + n], which
was copied from address old and moved by `moved` bytes. From the first even address on: a BL
(11110..., 11x1...) whose target lies in spans[0] .. spans[1] - 1 gets the distance to where its
target went; else an aligned word that holds an address of spans[0:2] or spans[2:4], and moved
by a multiple of 4, gets the address of where that went. Encoding of BL: ARMv7-M manual, T1.
"""

from ...compat import const

if False:  # for type checkers
    from ota_hints import Any

_CALL = const(1)  # the first half of a BL
_ADDRESS = const(2)  # the second half of a word that may be one
_kinds = bytearray(256)
_marked = [None]  # the spans that _kinds was filled for


def apply(
    out: memoryview,
    at: int,
    n: int,
    old: "Any",
    moved: int,
    spans: "Any",
    starts: "Any",
    shifts: "Any",
    count: int,
) -> None:
    """Rewrite the pointers of a copy; see the head of this file."""
    if moved & 1:
        return
    low, high, low2, high2 = spans
    if _marked[0] is not spans:
        _mark(spans)
    table = _kinds
    least = starts[0] if count else 0  # no address below it moved
    done = at + (old & 1)  # what lies before it is rewritten, or stays
    stop = at + n
    old -= at
    # Where words end, modulo 4; they stay aligned, or none is rewritten.
    edge = 4 if moved & 3 else 3 - old & 3
    # Of most halfwords nothing more is looked at than this.
    for k in range(done + 1, stop, 2):
        kind = table[out[k]]
        if not kind:
            continue
        if kind & _ADDRESS and k & 3 == edge and k - 3 >= done:
            word = out[k - 3] | out[k - 2] << 8 | out[k - 1] << 16 | out[k] << 24
            if word >= least and (low <= word < high or low2 <= word < high2):
                shift = _look(word, starts, shifts, count)
                if shift:
                    word += shift
                    out[k - 3] = word & 255
                    out[k - 2] = word >> 8 & 255
                    out[k - 1] = word >> 16 & 255
                    out[k] = word >> 24 & 255
                    done = k + 1
                    continue
        if kind & _CALL and done < k < stop - 2 and out[k + 2] & 0xD0 == 0xD0:
            high_half = out[k - 1] | out[k] << 8
            low_half = out[k + 1] | out[k + 2] << 8
            # Two bits of the distance are inverted unless it is negative.
            bits = low_half if high_half & 0x400 else ~low_half
            d = (
                (bits & 0x2000) << 10
                | (bits & 0x800) << 11
                | (high_half & 0x3FF) << 12
                | (low_half & 0x7FF) << 1
            )
            if high_half & 0x400:
                d -= 0x1000000
            target = old + k + 3 + d
            if low <= target < high:
                done = k + 3
                change = _look(target, starts, shifts, count) - moved
                if change:
                    d += change
                    bits = d if d & 0x1000000 else ~d
                    low_half = (
                        low_half & 0xD000
                        | bits >> 10 & 0x2000
                        | bits >> 11 & 0x800
                        | d >> 1 & 0x7FF
                    )
                    out[k - 1] = d >> 12 & 255
                    out[k] = 0xF0 | d >> 22 & 4 | d >> 20 & 3
                    out[k + 1] = low_half & 255
                    out[k + 2] = low_half >> 8


def _mark(spans):
    """Fill the table: what a halfword can be by its upper byte."""
    for byte in range(256):
        _kinds[byte] = _CALL if 0xF0 <= byte < 0xF8 else 0
    for low, high in (spans[:2], spans[2:]):
        if low < high:
            for byte in range(low >> 24, (high - 1 >> 24) + 1):
                _kinds[byte] |= _ADDRESS
    _marked[0] = spans


def _look(value, starts, shifts, count):
    """The shift of the last entry that starts at or before value, 0 if there is none."""
    first = 0
    while first < count:
        middle = first + count >> 1
        if starts[middle] <= value:
            first = middle + 1
        else:
            count = middle
    return shifts[first - 1] if first else 0
