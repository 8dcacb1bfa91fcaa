"""Pointers of Thumb code in plain Python; thumb_viper.py is the fast form of the same meaning.

`apply(out, at, n, old, moved, spans, starts, shifts, count)` rewrites out[at : at + n], which
was copied from address old and moved by `moved` bytes. From the first even address on: a BL
(11110..., 11x1...) whose target lies in spans[0] .. spans[1] - 1 gets the distance to where its
target went; else an aligned word that holds an address of spans[0:2] or spans[2:4], and moved
by a multiple of 4, gets the address of where that went. Encoding of BL: ARMv7-M manual, T1.
"""


def apply(out, at, n, old, moved, spans, starts, shifts, count):
    """Rewrite the pointers of a copy; see the head of this file."""
    if moved & 1:
        return
    low, high, low2, high2 = spans
    top, top2 = low >> 24, low2 >> 24
    end_top, end_top2 = high >> 24, high2 >> 24
    words = not moved & 3
    i = at + (old & 1)
    old -= at
    end = at + n - 4
    while i <= end:
        if out[i + 1] & 0xF8 == 0xF0 and out[i + 3] & 0xD0 == 0xD0:
            first = out[i] | out[i + 1] << 8
            second = out[i + 2] | out[i + 3] << 8
            s = first >> 10 & 1
            flip = s ^ 1
            d = (
                (second >> 13 & 1 ^ flip) << 23
                | (second >> 11 & 1 ^ flip) << 22
                | (first & 0x3FF) << 12
                | (second & 0x7FF) << 1
            ) - (s << 24)
            target = old + i + 4 + d
            if low <= target < high:
                d += _look(target, starts, shifts, count) - moved
                s = d >> 24 & 1
                flip = s ^ 1
                first = d >> 12
                second = (
                    second & 0xD000
                    | (d >> 23 & 1 ^ flip) << 13
                    | (d >> 22 & 1 ^ flip) << 11
                    | d >> 1 & 0x7FF
                )
                out[i] = first & 255
                out[i + 1] = 0xF0 | s << 2 | first >> 8 & 3
                out[i + 2] = second & 255
                out[i + 3] = second >> 8
                i += 4
                continue
        if words and not old + i & 3:
            high_byte = out[i + 3]
            if top <= high_byte <= end_top or top2 <= high_byte <= end_top2:
                word = out[i] | out[i + 1] << 8 | out[i + 2] << 16 | high_byte << 24
                if low <= word < high or low2 <= word < high2:
                    shift = _look(word, starts, shifts, count)
                    if shift:
                        word += shift
                        out[i] = word & 255
                        out[i + 1] = word >> 8 & 255
                        out[i + 2] = word >> 16 & 255
                        out[i + 3] = word >> 24 & 255
                        i += 4
                        continue
        i += 2


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
