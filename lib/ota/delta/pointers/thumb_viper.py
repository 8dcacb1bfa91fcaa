"""Pointers of Thumb code in machine code; thumb.py says what it does.

Compiled and installed as add_viper.py is. Bytes are read one by one: nothing here is aligned.
"""
# ruff: noqa: F821
# mypy: ignore-errors

import micropython


@micropython.viper
def apply(
    out_buf, at: int, n: int, old: int, moved: int, spans_buf, starts_buf, shifts_buf, count: int
):
    """Rewrite the pointers of a copy; see thumb.py."""
    if moved & 1:
        return
    out = ptr8(out_buf)
    spans = ptr32(spans_buf)
    starts = ptr32(starts_buf)
    shifts = ptr32(shifts_buf)
    low: int = int(spans[0])
    high: int = int(spans[1])
    low2: int = int(spans[2])
    high2: int = int(spans[3])
    words: int = 1 - (moved >> 1 & 1)  # a word stays aligned
    i: int = at + (old & 1)
    old -= at
    end: int = at + n - 4
    while i <= end:
        value: int = -1
        call: int = 0
        if int(out[i + 1]) & 0xF8 == 0xF0 and int(out[i + 3]) & 0xD0 == 0xD0:
            first: int = int(out[i]) | int(out[i + 1]) << 8
            second: int = int(out[i + 2]) | int(out[i + 3]) << 8
            s: int = first >> 10 & 1
            flip: int = s ^ 1
            d: int = (
                (second >> 13 & 1 ^ flip) << 23
                | (second >> 11 & 1 ^ flip) << 22
                | (first & 0x3FF) << 12
                | (second & 0x7FF) << 1
            ) - (s << 24)
            value = old + i + 4 + d
            if low <= value and value < high:
                call = 1
            else:
                value = -1
        if not call and words and not (old + i) & 3:
            value = (
                int(out[i]) | int(out[i + 1]) << 8 | int(out[i + 2]) << 16 | int(out[i + 3]) << 24
            )
            if not ((low <= value and value < high) or (low2 <= value and value < high2)):
                value = -1
        if value >= 0:
            # The last entry that starts at or before it. A call of a function, here, is more
            # than all the rest.
            above: int = 0
            beyond: int = count
            while above < beyond:
                middle: int = (above + beyond) >> 1
                if int(starts[middle]) <= value:
                    above = middle + 1
                else:
                    beyond = middle
            shift: int = 0
            if above:
                shift = int(shifts[above - 1])
            if call:
                d += shift - moved
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
                i += 2
            elif shift:
                value += shift
                out[i] = value & 255
                out[i + 1] = value >> 8 & 255
                out[i + 2] = value >> 16 & 255
                out[i + 3] = value >> 24 & 255
                i += 2
        i += 2
