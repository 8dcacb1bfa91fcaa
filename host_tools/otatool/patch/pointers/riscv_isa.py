"""Instructions of RISC-V as arrays of numbers: what they refer to, and how to change it.

Formats: "Unprivileged ISA" of the RISC-V specification. Images are arrays of halfwords, places
indices into them.
"""

import numpy as np


def words(h: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The words at places."""
    return h[places] | h[places + 1] << 16


def put(out: np.ndarray, places: np.ndarray, values: np.ndarray) -> None:
    """Write words at places."""
    out[places] = values & 0xFFFF
    out[places + 1] = values >> 16 & 0xFFFF


def jump_distance(w: np.ndarray) -> np.ndarray:
    """The distance of a JAL (J-type)."""
    d = w >> 20 & 0x7FE | w >> 9 & 0x800 | w & 0xFF000
    return d - (w >> 31 << 20)


def put_jumps(out: np.ndarray, places: np.ndarray, d: np.ndarray) -> None:
    """Give each JAL at places its distance of d, modulo 2^21."""
    w = words(out, places) & 0xFFF
    w |= (d & 0x7FE) << 20 | (d & 0x800) << 9 | d & 0xFF000 | (d >> 20 & 1) << 31
    put(out, places, w)


def branch_distance(w: np.ndarray) -> np.ndarray:
    """The distance of a conditional branch (B-type)."""
    d = w >> 7 & 0x1E | w >> 20 & 0x7E0 | (w & 0x80) << 4
    return d - (w >> 31 << 12)


def uses(x: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """If x adds to the register that upper sets: a load or store, ADDI or JALR."""
    form = x & 0x707F
    good = (x & 0x5B == 0x03) | (form == 0x13) | (form == 0x67)
    return good & (x >> 15 & 31 == upper >> 7 & 31)


def address(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """What both instructions add up to, without the place of an AUIPC."""
    store = lower & 0x7B == 0x23
    low = np.where(store, lower >> 20 & 0xFE0 | lower >> 7 & 31, lower >> 20)
    return ((upper & 0xFFFFF000) ^ 1 << 31) - (1 << 31) + (low ^ 0x800) - 0x800


def put_pairs(out: np.ndarray, uppers: np.ndarray, lowers: np.ndarray, values: np.ndarray) -> None:
    """Have the instructions at uppers and lowers add up to values, modulo 2^32."""
    lower = words(out, lowers)
    out_lower = np.where(
        lower & 0x7B == 0x23,  # a store
        lower & 0x01FFF07F | (values & 0xFE0) << 20 | (values & 31) << 7,
        lower & 0x000FFFFF | (values & 0xFFF) << 20,
    )
    put(out, lowers, out_lower)
    put(out, uppers, words(out, uppers) & 0xFFF | (values + 0x800) & 0xFFFFF000)
