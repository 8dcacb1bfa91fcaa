"""Pointers of Xtensa code in machine code; xtensa.py says what it does.

Compiled and installed as add_viper.py is. Bytes are read one by one: nothing here is aligned.
"""
# ruff: noqa: F821
# mypy: ignore-errors

import micropython


@micropython.viper
def _look(value: int, starts_buf, shifts_buf, count: int) -> int:
    starts = ptr32(starts_buf)
    shifts = ptr32(shifts_buf)
    first: int = 0
    while first < count:
        middle: int = (first + count) >> 1
        if int(starts[middle]) <= value:
            first = middle + 1
        else:
            count = middle
    return int(shifts[first - 1]) if first else 0


@micropython.viper
def apply(out_buf, at: int, n: int, old: int, moved: int, spans_buf, starts, shifts, count: int):
    """Rewrite the pointers of a copy; see xtensa.py."""
    out = ptr8(out_buf)
    spans = ptr32(spans_buf)
    low: int = int(spans[0])
    high: int = int(spans[1])
    low2: int = int(spans[2])
    high2: int = int(spans[3])
    i: int = at
    old -= at
    end: int = at + n
    code: int = 0
    size: int = 0
    d: int = 0
    target: int = 0
    taken: int = 0
    while i + 3 <= end:
        b0: int = int(out[i])
        kind: int = b0 & 15
        size = 3
        if kind >= 8 and kind < 14:
            size = 2
        j: int = i + ((0 - old - i) & 3)
        if not moved & 3 and j < i + size and j + 4 <= end:
            word: int = int(out[j]) | int(out[j + 1]) << 8
            word |= int(out[j + 2]) << 16 | int(out[j + 3]) << 24
            if (low <= word and word < high) or (low2 <= word and word < high2):
                word += int(_look(word, starts, shifts, count))
                out[j] = word & 255
                out[j + 1] = word >> 8 & 255
                out[j + 2] = word >> 16 & 255
                out[j + 3] = word >> 24 & 255
                taken = 1
        if taken:
            taken = 0
            code = 4
            size = j + 4 - i
        elif kind == 3 or kind == 4 or kind > 13 or not b0 | int(out[i + 1]):
            code = 0
        else:
            if kind == 5 and code >= 2:
                d = b0 >> 6 | int(out[i + 1]) << 2 | int(out[i + 2]) << 10
                target = ((old + i) & -4) + 4 + ((d - ((d & 0x20000) << 1)) << 2)
                if low <= target and target < high:
                    target += int(_look(target, starts, shifts, count))
                    if not target & 3:
                        d = (target - 4 - ((old + i + moved) & -4)) >> 2
                        out[i] = b0 & 0x3F | (d & 3) << 6
                        out[i + 1] = d >> 2 & 255
                        out[i + 2] = d >> 10 & 255
            elif kind == 1 and code >= 6:
                d = (int(out[i + 1]) | int(out[i + 2]) << 8) - 0x10000
                target = ((old + i + 3) & -4) + (d << 2)
                if low <= target and target < high:
                    target += int(_look(target, starts, shifts, count))
                    if not target & 3:
                        d = (target - ((old + i + 3 + moved) & -4)) >> 2
                        out[i + 1] = d & 255
                        out[i + 2] = d >> 8 & 255
            code += 1
        i += size
