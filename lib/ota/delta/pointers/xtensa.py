"""Pointers of Xtensa code in plain Python; delta/pointers/xtensa_viper.py is the fast form of it.

`apply(out, at, n, old, moved, spans, starts, shifts, count)` rewrites out[at : at + n], which
was copied from address old and moved by `moved` bytes: the targets of CALL and L32R, and aligned
words. docs/format-delta.md section 7 has the rule, the formats of instructions are in the
"Xtensa Instruction Set Architecture Reference Manual".
"""

from ...compat import const

if False:  # for type checkers
    from ota_hints import Any

# Instructions that a word which is an address counts as; that come before a CALL, an L32R.
_AFTER_WORD = const(4)
_CALL_AFTER = const(2)
_LOAD_AFTER = const(6)


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
    low, high, low2, high2 = spans
    top, top2 = low >> 24, low2 >> 24
    end_top, end_top2 = high >> 24, high2 >> 24
    words = not moved & 3
    i = at
    old -= at
    end = at + n
    code = 0  # instructions in turn that code is made of
    while i + 3 <= end:
        b0 = out[i]
        kind = b0 & 15
        size = 2 if 8 <= kind < 14 else 3
        if words:
            j = i + (-(old + i) & 3)
            if j < i + size and j + 4 <= end:
                high_byte = out[j + 3]
                if top <= high_byte <= end_top or top2 <= high_byte <= end_top2:
                    word = out[j] | out[j + 1] << 8 | out[j + 2] << 16 | high_byte << 24
                    if low <= word < high or low2 <= word < high2:
                        _word(out, j, word + _look(word, starts, shifts, count))
                        i = j + 4
                        code = _AFTER_WORD
                        continue
        if kind == 3 or kind == 4 or kind > 13 or not (b0 or out[i + 1]):
            code = 0
        else:
            if kind == 5:
                if code >= _CALL_AFTER:
                    d = b0 >> 6 | out[i + 1] << 2 | out[i + 2] << 10
                    target = (old + i & ~3) + 4 + 4 * (d - ((d & 0x20000) << 1))
                    if low <= target < high:
                        target += _look(target, starts, shifts, count)
                        if not target & 3:
                            d = target - 4 - (old + i + moved & ~3) >> 2
                            out[i] = b0 & 0x3F | (d & 3) << 6
                            out[i + 1] = d >> 2 & 255
                            out[i + 2] = d >> 10 & 255
            elif kind == 1 and code >= _LOAD_AFTER:
                d = (out[i + 1] | out[i + 2] << 8) - 0x10000
                target = (old + i + 3 & ~3) + 4 * d
                if low <= target < high:
                    target += _look(target, starts, shifts, count)
                    if not target & 3:
                        d = target - (old + i + 3 + moved & ~3) >> 2
                        out[i + 1] = d & 255
                        out[i + 2] = d >> 8 & 255
            code += 1
        i += size


def _word(out, i, word):
    """Put a word there."""
    out[i] = word & 255
    out[i + 1] = word >> 8 & 255
    out[i + 2] = word >> 16 & 255
    out[i + 3] = word >> 24 & 255


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
