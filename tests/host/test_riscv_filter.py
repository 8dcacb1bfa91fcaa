"""RISC-V filter: the host's vectorised form means what the device's code does."""

import random

import code_images
import numpy as np
import pytest
from ota.delta.pointers import riscv as device
from otatool.patch import find as delta
from otatool.patch import payload
from otatool.patch.covers import Segment
from otatool.patch.pointers import riscv
from otatool.patch.pointers.kinds import candidates
from pointer_rig import on_device, table
from riscv_code import ADDI, AUIPC, CALL, LOAD, LUI, STORE, jal, low, upper, word

RANGES = ((0x20000000, 0x20100000), (0x3C000000, 0x40400000), (0x40000000, 0x40900000))


def tangle(r, base, size):
    """Bytes where pairs and words get into each other's way, and noise."""
    out = b""
    while len(out) < 300:
        register = r.choice((10, 11))
        near = r.choice((base, base + size, 0x20000000)) + r.randrange(-3000, 3000)
        op = r.choice((ADDI, LOAD, STORE, CALL))
        out += r.choice((
            upper(LUI, register, near), upper(AUIPC, register, r.randrange(-size, size)),
            low(op, register, near), low(op, register, near), jal(r.randrange(-size, size)),
            word(near), r.randbytes(2), b"\x01\x00",
        ))  # fmt: skip
    return out


@pytest.mark.parametrize("base", [0, 0x08000000, 0x10000000, 0x42000000])
def test_predict_is_what_the_device_does(base):
    r = random.Random(base)
    changed = 0
    for seed in range(60):
        image = code_images.riscv(seed, 3000, base)
        f = riscv.RiscV(base, len(image))
        starts = sorted(r.sample(range(base, base + len(image)), 6)) + [0x20000400]
        f.table = table(*((s, r.choice((0, 2, 4, -8, 3000, -4098))) for s in sorted(starts)))
        for _ in range(12):
            old = r.randrange(len(image))
            n = r.choice((0, 1, 2, 3, 4, 5, 7, 8, 9, 40, 999))
            piece = image[old : old + n]
            new = old + r.choice((0, 1, 2, 4, 6, -12, 4096, 4098))
            got = f.predict(piece, old, new)
            assert got == on_device(device, f, piece, old, new)
            changed += got != piece
    assert changed > 150


@pytest.mark.parametrize("base", [0, 0x10000000, 0x42000000, 0x7FFF8000])
def test_predict_is_what_the_device_does_where_pointers_overlap(base):
    r = random.Random(base + 1)
    overlapped = 0
    for _ in range(400):
        f = riscv.RiscV(base, 0x4000)
        f.table = table(
            (0, r.randrange(-5000, 5000)), (base + 0x2000, 4), (0x7FFFA000, r.randrange(-99, 9))
        )  # fmt: skip
        piece = tangle(r, base, 0x4000)
        old = r.randrange(0x3000)
        new = old + r.choice((0, 2, 4, -1024))
        assert f.predict(piece, old, new) == on_device(device, f, piece, old, new)
        at = np.frombuffer(piece[: len(piece) // 2 * 2], "<u2").astype(np.int64)
        w = at[:-1] | at[1:] << 16
        uppers = np.nonzero(w & 0x5F == 0x17)[0]
        lowers = riscv._lowers(w, uppers)
        lowers = lowers[lowers >= 0]
        overlapped += len(lowers) > len(set(lowers.tolist()))
    assert overlapped > 100


def test_noise_means_the_same_to_both():
    r = random.Random(9)
    for _ in range(300):
        # So small a range of registers and opcodes that everything occurs.
        piece = bytes(r.choice((0x6F, 0xEF, 0x37, 0x17, 0x13, 0x97, 0x93, 0, 1, 0x10, 0x23))
                      for _ in range(200))  # fmt: skip
        f = riscv.RiscV(0x10000000, 0x200000, (0x0, 0x08000000))
        f.table = table((0, 0x12345), (0x10000000, -0x777), (0x10100000, 0x7FFFFFFF))
        old = r.randrange(0x100000)
        new = old + r.choice((0, 2, 4, 0x1000))
        assert f.predict(piece, old, new) == on_device(device, f, piece, old, new)


@pytest.mark.parametrize("base", [0x08000000, 0x10000000])
@pytest.mark.parametrize("in_place", [False, True])
def test_code_that_moved_becomes_a_small_patch(base, in_place):
    old = code_images.riscv(3, 60000, base)
    new = code_images.moved(riscv.RiscV, old, base, 20000, 52)
    plain = payload.PatchWriter(
        delta.plan(old, new, 4096, in_place, quick=True), old, new, 4096, in_place
    )
    best = delta.best(old, new, 4096, in_place, quick=True)
    assert best.filter is not None
    assert (best.filter.kind, best.filter.base) == (2, base)
    assert payload.deflated_size(best) * 4 < payload.deflated_size(plain)
    assert payload.decode(best, old, len(new), 4096, in_place) == new


@pytest.mark.parametrize("base", [0x08000000, 0x10000000, 0x41FE0000])
@pytest.mark.parametrize("outside", RANGES)
def test_the_bytes_say_where_an_image_lies(base, outside):
    (found,) = candidates(code_images.riscv(base, 40000, base, outside))
    assert isinstance(found, riscv.RiscV)
    assert (found.base, found.low, found.high) == (base, *outside)


def test_what_is_no_code_gets_no_filter():
    text = b"".join(b"line %d of a text\n" % (i * i) for i in range(3000))
    for data in (text, random.Random(1).randbytes(60000), b"", jal(4) * 50):
        assert list(riscv.bases(data)) == []


def test_normalised_images_are_alike_where_only_positions_changed():
    base = 0x10000000
    old = code_images.riscv(8, 30000, base)
    new = code_images.moved(riscv.RiscV, old, base, 12000, 32)
    f = riscv.RiscV(base, len(old))
    f.table = table((base + 12000, 32))
    was, now = f.normalised(old, True), f.normalised(new, False)
    assert len(was) == len(old) and len(now) == len(new)

    def differing(a, b):
        return sum(x != y for x, y in zip(a, b, strict=True))

    assert differing(old[12000:], new[12032:]) > 1200
    assert differing(was[12000:], now[12032:]) < 200


def test_moves_are_those_of_the_copies():
    base = 0x10000000
    old = code_images.riscv(7, 20000, base)
    new = code_images.moved(riscv.RiscV, old, base, 8000, 12)
    f = riscv.RiscV(base, len(old))
    segments = [Segment(0, 8000, 0), Segment(8000, 12, None), Segment(8012, 12000, 8000)]
    values, shifts = f.moves(old, new, segments)
    own = (values >= base) & (values < base + len(old))
    assert own.sum() > 1000
    assert np.mean(shifts[own & (values >= base + 8000)] == 12) > 0.95
    assert np.mean(shifts[own & (values < base + 8000)] == 0) > 0.95


@pytest.mark.parametrize("distance", [0, 2, -2, 0xFFE, -0x1000, 0x800, 0x2AA, -0x556])
def test_distances_of_branches(distance):
    d = distance
    w = (d >> 12 & 1) << 31 | (d >> 5 & 63) << 25 | (d >> 1 & 15) << 8 | (d >> 11 & 1) << 7
    assert riscv.isa.branch_distance(np.array([w | 0x63])).tolist() == [distance]
