"""Images of code for tests of pointer filters and for vectors: bytes that look like it; host only.

What they give for a seed must not change: vectors are made of it.
"""

import random
import struct

import riscv_code as rv
import xtensa_code as xt
from delta_stream import Noise
from pointer_rig import table


def thumb(seed, size, base):
    """Bytes like Thumb code at an address: calls all over, words that hold addresses."""
    noise = Noise(seed + 1)
    out = bytearray(noise.bytes(size))
    for at in range(1, size, 2):
        out[at] = 0x40 | out[at] & 0x3F  # no call by chance
    at = 0
    called = [0]
    while at + 8 <= size:
        if noise.below(3) == 0:
            called.append(noise.below(size) // 2 * 2)
            distance = called[-1] - at - 4
            j = distance >> 24 & 1 ^ 1
            out[at : at + 4] = struct.pack(
                "<HH",
                0xF000 | (distance >> 24 & 1) << 10 | distance >> 12 & 0x3FF,
                0xD000
                | ((distance >> 23 & 1) ^ j) << 13
                | ((distance >> 22 & 1) ^ j) << 11
                | distance >> 1 & 0x7FF,
            )
            at += 4
        if noise.below(6) == 0:
            at += -(base + at) % 4
            where = base + called[noise.below(len(called))]
            if noise.below(4) == 0:
                where = 0x20000000 + noise.below(4096)
            out[at : at + 4] = struct.pack("<I", where | 1)
            at += 4
        at += 2 + noise.below(20) // 2 * 2
    return bytes(out[:size])


def riscv(seed, size, base, outside=(0x20000000, 0x20100000)):
    """Bytes like RISC-V code at an address: functions that call each other and use data."""
    r = random.Random(seed)
    out = bytearray()
    entries = [0]
    while len(out) < size:
        at = len(out)
        kind = r.randrange(12)
        register = r.choice((10, 11, 14, 15))
        target = r.choice(entries) if r.random() < 0.7 else r.randrange(size) & ~1
        if kind == 0:
            entries.append(at)
            out += b"\x41\x11"  # c.addi sp, -16
        elif kind < 4:
            out += rv.jal(target - at, r.choice((0, 1, 1, 1)))
        elif kind < 6:
            value = base + target if kind == 4 else r.randrange(*outside)
            out += rv.upper(rv.LUI, register, value) + r.randbytes(2 * r.randrange(2))
            out += rv.low(r.choice((rv.ADDI, rv.LOAD, rv.STORE)), register, value)
        elif kind == 6:
            op = r.choice((rv.ADDI, rv.LOAD, rv.CALL))
            out += rv.upper(rv.AUIPC, register, target - at) + rv.low(op, register, target - at)
        elif kind == 7:
            out += bytes(-len(out) % 4) + rv.word(base + r.choice(entries))
        else:
            out += bytes(x & 0xFE | 1 for x in r.randbytes(1)) + r.randbytes(1)
    return bytes(out[:size])


def xtensa(seed, size, base, outside=(0x3FFE8000, 0x40140000)):
    """Bytes like Xtensa code at an address: functions behind the words that they load."""
    r = random.Random(seed)
    out = bytearray()
    entries = [0]
    while len(out) < size:
        out += bytes(-len(out) % 4)
        pool = []
        for _ in range(r.randrange(1, 5)):
            pool.append(len(out))
            far = r.randrange(*outside) & ~3
            out += xt.word(base + r.choice(entries) if r.random() < 0.6 else far)
        entries.append(len(out))
        out += xt.ADDI
        for _ in range(r.randrange(6, 30)):
            kind = r.randrange(9)
            if kind < 2:
                target = r.choice(entries) if r.random() < 0.8 else r.randrange(size) & ~3
                out += xt.call(len(out), target, r.choice((0, 0, 2)))
            elif kind < 4:
                out += xt.load(len(out), r.choice(pool))
            else:
                out += r.choice((xt.MOV, xt.ADDI, b"\x22\xa0" + r.randbytes(1)))
        out += xt.RET
        if r.random() < 0.2:
            out += b"a text to be printed: %d" % r.randrange(1000)
    return bytes(out[:size])


def moved(kind, image: bytes, base: int, at: int, grown: int) -> bytes:
    """The image with bytes put in, and every pointer of it following.

    kind: class of the filter. base: address of the image. at: where `grown` bytes are put in.
    """
    f = kind(base, len(image))
    f.table = table((base + at, grown))
    head = f.predict(image[:at], 0, 0)
    return head + random.Random(grown).randbytes(grown) + f.predict(image[at:], at, at + grown)


def scattered(kind, image: bytes, base: int, places: int, piece: bytes) -> bytes:
    """The image with a piece put in at that many places, evenly, and pointers that follow.

    kind, base: as moved() takes them. piece: of even length.
    """
    step = len(image) // (places + 1) // 2 * 2
    cuts = range(step, step * (places + 1), step)
    f = kind(base, len(image))
    f.table = table(*((base + at, len(piece) * (i + 1)) for i, at in enumerate(cuts)))
    out = bytearray(f.predict(image[:step], 0, 0))
    for i, at in enumerate(cuts):
        end = at + step if i + 1 < places else len(image)
        out += piece + f.predict(image[at:end], at, at + len(piece) * (i + 1))
    return bytes(out)
