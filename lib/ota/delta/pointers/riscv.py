"""Pointers of RISC-V code (32 bits) in plain Python; riscv_viper.py is the fast form of it.

`apply(out, at, n, old, moved, spans, starts, shifts, count)` rewrites out[at : at + n], which
was copied from address old and moved by `moved` bytes: the targets of JAL, addresses made by
LUI or AUIPC and a later instruction, and aligned words. docs/format-delta.md section 7 has the
rule, the formats of instructions are in "Unprivileged ISA" of the RISC-V specification.
"""

from ...compat import const

if False:  # for type checkers
    from ota_hints import Any

_WALK = const(8)  # instructions between both parts of an address, at the most


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
    top, top2 = low >> 24, low2 >> 24
    end_top, end_top2 = high >> 24, high2 >> 24
    words = not moved & 3
    i = at + (old & 1)
    old -= at
    end = at + n - 4
    # Bit k: the halfword at i + 2 * k belongs to the second part of an address.
    taken = 0
    while i <= end:
        if taken & 3:
            i += 2
            taken >>= 1
            continue
        done = False
        b0 = out[i]
        if b0 & 0x7F == 0x6F:
            if _link(b0, out[i + 1]):
                d = _distance(out, i)
                target = old + i + d
                if low <= target < high:
                    _jump(out, i, d + _look(target, starts, shifts, count) - moved)
                    done = True
        elif b0 & 0x5F == 0x17 and out[i + 3] != 0x80:
            j = _second(out, i, end, taken)
            if j:
                value = _sum(out, i, j)
                relative = not b0 & 0x20  # AUIPC, not LUI
                if relative:
                    value += old + i
                if low <= value < high or low2 <= value < high2:
                    value += _look(value, starts, shifts, count)
                    if relative:
                        value -= old + i + moved
                    _split(out, i, j, value)
                    taken |= 3 << (j - i >> 1)
                    done = True
        if not done and words and not old + i & 3:
            high_byte = out[i + 3]
            if top <= high_byte <= end_top or top2 <= high_byte <= end_top2:
                word = b0 | out[i + 1] << 8 | out[i + 2] << 16 | high_byte << 24
                if low <= word < high or low2 <= word < high2:
                    shift = _look(word, starts, shifts, count)
                    if shift:
                        word += shift
                        out[i] = word & 255
                        out[i + 1] = word >> 8 & 255
                        out[i + 2] = word >> 16 & 255
                        out[i + 3] = word >> 24 & 255
                        done = True
        if done:
            i += 4
            taken >>= 2
        else:
            i += 2
            taken >>= 1


def _link(b0, b1):
    """If a JAL sets no register, ra or t0: anything else is none."""
    return b1 & 15 == 0 or (b1 & 15 == 2 and b0 & 0x80)


def _distance(out, i):
    """The distance of the JAL at i."""
    b2, b3 = out[i + 2], out[i + 3]
    return (
        (out[i + 1] & 0xF0) << 8
        | (b2 & 15) << 16
        | (b2 & 16) << 7
        | b2 >> 4 & 14
        | (b3 & 127) << 4
    ) - (b3 >> 7 << 20)


def _jump(out, i, d):
    """Give the JAL at i a distance."""
    out[i + 1] = out[i + 1] & 15 | d >> 8 & 0xF0
    out[i + 2] = d >> 16 & 15 | d >> 7 & 16 | (d & 14) << 4
    out[i + 3] = d >> 4 & 127 | d >> 13 & 128


def _second(out, i, end, taken):
    """Where the register that the LUI or AUIPC at i sets is added to first, 0 for nowhere."""
    b0, b1 = out[i] & 0x80, out[i + 1] & 15
    if not b0 and not b1:
        return 0
    j = i + 4
    taken >>= 2
    for _ in range(_WALK):
        if j > end:
            break
        x0 = out[j]
        # A load or store, also of a float; ADDI, JALR.
        if x0 & 0x5B == 3 or ((x0 & 0x7F == 0x13 or x0 & 0x7F == 0x67) and not out[j + 1] & 0x70):
            if not taken & 3 and out[j + 1] & 0x80 == b0 and out[j + 2] & 15 == b1:
                return j
        if x0 & 3 == 3:
            j += 4
            taken >>= 2
        else:
            j += 2
            taken >>= 1
    return 0


def _sum(out, i, j):
    """What the instructions at i and j add up to."""
    upper = (out[i + 1] & 0xF0) << 8 | out[i + 2] << 16 | ((out[i + 3] ^ 128) - 128) << 24
    x0, x3 = out[j], out[j + 3]
    if x0 & 0x7B == 0x23:  # a store
        low = x0 >> 7 | (out[j + 1] & 15) << 1 | x3 >> 1 << 5
    else:
        low = out[j + 2] >> 4 | x3 << 4
    return upper + (low ^ 0x800) - 0x800


def _split(out, i, j, value):
    """Have the instructions at i and j add up to value."""
    if out[j] & 0x7B == 0x23:  # a store
        out[j] = out[j] & 127 | (value & 1) << 7
        out[j + 1] = out[j + 1] & 0xF0 | value >> 1 & 15
        out[j + 3] = out[j + 3] & 1 | value >> 4 & 0xFE
    else:
        out[j + 2] = out[j + 2] & 15 | (value & 15) << 4
        out[j + 3] = value >> 4 & 255
    value += 0x800
    out[i + 1] = out[i + 1] & 15 | value >> 8 & 0xF0
    out[i + 2] = value >> 16 & 255
    out[i + 3] = value >> 24 & 255


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
