"""Pointers of RISC-V code in machine code; riscv.py says what it does.

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
def _second(out_buf, i: int, end: int, taken: int) -> int:
    out = ptr8(out_buf)
    b0: int = int(out[i]) & 0x80
    b1: int = int(out[i + 1]) & 15
    if not b0 and not b1:
        return 0
    j: int = i + 4
    taken >>= 2
    left: int = 8
    while left and j <= end:
        left -= 1
        x0: int = int(out[j])
        op: int = x0 & 0x7F
        if (x0 & 0x5B) == 3 or ((op == 0x13 or op == 0x67) and not int(out[j + 1]) & 0x70):
            if not taken & 3 and int(out[j + 1]) & 0x80 == b0 and int(out[j + 2]) & 15 == b1:
                return j
        if (x0 & 3) == 3:
            j += 4
            taken >>= 2
        else:
            j += 2
            taken >>= 1
    return 0


@micropython.viper
def _sum(out_buf, i: int, j: int) -> int:
    out = ptr8(out_buf)
    low: int = 0
    if (int(out[j]) & 0x7B) == 0x23:
        low = int(out[j]) >> 7 | (int(out[j + 1]) & 15) << 1 | int(out[j + 3]) >> 1 << 5
    else:
        low = int(out[j + 2]) >> 4 | int(out[j + 3]) << 4
    upper: int = ((int(out[i + 3]) ^ 128) - 128) << 24 | int(out[i + 2]) << 16
    upper |= (int(out[i + 1]) & 0xF0) << 8
    return upper + (low ^ 0x800) - 0x800


@micropython.viper
def _split(out_buf, i: int, j: int, value: int):
    out = ptr8(out_buf)
    if (int(out[j]) & 0x7B) == 0x23:
        out[j] = int(out[j]) & 127 | (value & 1) << 7
        out[j + 1] = int(out[j + 1]) & 0xF0 | value >> 1 & 15
        out[j + 3] = int(out[j + 3]) & 1 | value >> 4 & 0xFE
    else:
        out[j + 2] = int(out[j + 2]) & 15 | (value & 15) << 4
        out[j + 3] = value >> 4 & 255
    value += 0x800
    out[i + 1] = int(out[i + 1]) & 15 | value >> 8 & 0xF0
    out[i + 2] = value >> 16 & 255
    out[i + 3] = value >> 24 & 255


@micropython.viper
def apply(out_buf, at: int, n: int, old: int, moved: int, spans_buf, starts, shifts, count: int):
    """Rewrite the pointers of a copy; see riscv.py."""
    if moved & 1:
        return
    out = ptr8(out_buf)
    spans = ptr32(spans_buf)
    low: int = int(spans[0])
    high: int = int(spans[1])
    low2: int = int(spans[2])
    high2: int = int(spans[3])
    words: int = 1 - (moved >> 1 & 1)  # a word stays aligned
    i: int = at + (old & 1)
    old -= at
    end: int = at + n - 4
    taken: int = 0
    while i <= end:
        step: int = 1
        if not taken & 3:
            b0: int = int(out[i])
            b1: int = int(out[i + 1])
            b2: int = int(out[i + 2])
            b3: int = int(out[i + 3])
            if (b0 & 0x7F) == 0x6F:
                link: int = b1 & 15
                if not link or (link == 2 and b0 & 0x80):
                    d: int = (b1 & 0xF0) << 8 | (b2 & 15) << 16 | (b2 & 16) << 7 | b2 >> 4 & 14
                    d = (d | (b3 & 127) << 4) - (b3 >> 7 << 20)
                    target: int = old + i + d
                    if low <= target and target < high:
                        d += int(_look(target, starts, shifts, count)) - moved
                        out[i + 1] = link | d >> 8 & 0xF0
                        out[i + 2] = d >> 16 & 15 | d >> 7 & 16 | (d & 14) << 4
                        out[i + 3] = d >> 4 & 127 | d >> 13 & 128
                        step = 2
            elif (b0 & 0x5F) == 0x17 and b3 != 0x80:
                j: int = int(_second(out_buf, i, end, taken))
                if j:
                    value: int = int(_sum(out_buf, i, j))
                    here: int = 0
                    if not b0 & 0x20:
                        here = old + i
                        value += here
                    if (low <= value and value < high) or (low2 <= value and value < high2):
                        value += int(_look(value, starts, shifts, count))
                        if not b0 & 0x20:
                            value -= here + moved
                        _split(out_buf, i, j, value)
                        taken |= 3 << ((j - i) >> 1)
                        step = 2
            if step == 1 and words and not (old + i) & 3:
                word: int = b0 | b1 << 8 | b2 << 16 | b3 << 24
                if (low <= word and word < high) or (low2 <= word and word < high2):
                    shift: int = int(_look(word, starts, shifts, count))
                    if shift:
                        word += shift
                        out[i] = word & 255
                        out[i + 1] = word >> 8 & 255
                        out[i + 2] = word >> 16 & 255
                        out[i + 3] = word >> 24 & 255
                        step = 2
        i += step << 1
        taken >>= step
