"""Xtensa filter: the host's vectorised form means what the device's code does."""

import random

import code_images
import numpy as np
import pytest
from ota.delta.pointers import xtensa as device
from otatool.patch import find as delta
from otatool.patch import payload
from otatool.patch.covers import Segment
from otatool.patch.pointers import xtensa
from otatool.patch.pointers.kinds import candidates
from pointer_rig import on_device, table
from xtensa_code import ADDI, MOV, call, load, word

RANGES = ((0x3FFE8000, 0x40140000), (0x3F400000, 0x3F800000), (0x3C000000, 0x3E000000))


def tangle(r, base):
    """Bytes where words and code get into each other's way, and noise."""
    out = b""
    while len(out) < 200:
        near = r.choice((base, base + 0x4000, 0x3FFE8000)) + r.randrange(-3000, 3000)
        out += r.choice((
            call(0, r.randrange(-0x4000, 0x4000) & ~3), load(0, -r.randrange(4, 0x4000) & ~3),
            word(near), r.randbytes(2), b"\0", MOV, ADDI, MOV * 3, b"\x25", b"\x03\0",
        ))  # fmt: skip
    return out


@pytest.mark.parametrize("base", [0, 0x40200000, 0x400A0000, 0x42000000])
def test_predict_is_what_the_device_does(base):
    r = random.Random(base)
    changed = 0
    for seed in range(60):
        image = code_images.xtensa(seed, 3000, base)
        f = xtensa.Xtensa(base, len(image), RANGES[0])
        starts = r.sample(range(base, base + len(image)), 6) + [0x3FFE8400]
        f.table = table(*((s, r.choice((0, 2, 4, -8, 3000, -4096))) for s in sorted(starts)))
        for _ in range(12):
            old = r.randrange(len(image))
            n = r.choice((0, 1, 2, 3, 4, 5, 7, 8, 9, 40, 999))
            piece = image[old : old + n]
            new = old + r.choice((0, 1, 2, 4, 6, -12, 4096, 4098))
            got = f.predict(piece, old, new)
            assert got == on_device(device, f, piece, old, new)
            changed += got != piece
    assert changed > 100


@pytest.mark.parametrize("base", [0, 0x40200000, 0x7FFF8000])
def test_predict_is_what_the_device_does_where_pointers_overlap(base):
    r = random.Random(base + 1)
    changed = 0
    for _ in range(400):
        f = xtensa.Xtensa(base, 0x4000, (0x3FFE8000, 0x40140000))
        f.table = table(
            (0, r.randrange(-2000, 2000) * 4), (base + 0x2000, 4), (0x7FFFA000, -r.randrange(99))
        )  # fmt: skip
        piece = tangle(r, base)
        old = r.randrange(0x3000)
        new = old + r.choice((0, 2, 4, -1024))
        got = f.predict(piece, old, new)
        assert got == on_device(device, f, piece, old, new)
        changed += got != piece
    assert changed > 200


def test_noise_means_the_same_to_both():
    r = random.Random(9)
    for _ in range(300):
        # So small a range of opcodes that everything occurs.
        kinds = (0x05, 0x25, 0x21, 0x41, 0x12, 0x0D, 0x2D, 0x40, 0x03, 0x0E, 0, 0, 0xFF)
        piece = bytes(r.choice(kinds) for _ in range(200))
        f = xtensa.Xtensa(0x40000000, 0x200000, (0x0, 0x08000000))
        f.table = table((0, 0x12344), (0x40000000, -0x778), (0x40100000, 0x7FFFFFFC))
        old = r.randrange(0x100000)
        new = old + r.choice((0, 2, 4, 0x1000))
        assert f.predict(piece, old, new) == on_device(device, f, piece, old, new)


@pytest.mark.parametrize("base", [0x40200000, 0x400A0000])
@pytest.mark.parametrize("in_place", [False, True])
def test_code_that_moved_becomes_a_small_patch(base, in_place):
    old = code_images.xtensa(3, 60000, base)
    new = code_images.moved(xtensa.Xtensa, old, base, 20000, 52)
    plain = payload.PatchWriter(
        delta.plan(old, new, 4096, in_place, quick=True), old, new, 4096, in_place
    )
    best = delta.best(old, new, 4096, in_place, quick=True)
    assert best.filter is not None
    assert (best.filter.kind, best.filter.base) == (3, base)
    assert payload.deflated_size(best) * 4 < payload.deflated_size(plain)
    assert payload.decode(best, old, len(new), 4096, in_place) == new


@pytest.mark.parametrize("base", [0x40200000, 0x400A0000, 0x42010000])
@pytest.mark.parametrize("outside", RANGES)
def test_the_bytes_say_where_an_image_lies(base, outside):
    found = list(candidates(code_images.xtensa(base, 60000, base, outside)))
    assert {type(f) for f in found} == {xtensa.Xtensa}
    assert {f.base for f in found} == {base}
    assert outside in [(f.low, f.high) for f in found]


def test_what_is_no_code_gets_no_filter():
    text = b"".join(b"line %d of a text\n" % (i * i) for i in range(3000))
    for data in (text, random.Random(1).randbytes(60000), b"", b"\x05\x10", MOV * 99):
        assert list(xtensa.bases(data)) == []


def test_normalised_images_are_alike_where_only_positions_changed():
    base = 0x40200000
    old = code_images.xtensa(8, 30000, base)
    new = code_images.moved(xtensa.Xtensa, old, base, 12000, 32)
    f = xtensa.Xtensa(base, len(old), RANGES[0])
    f.table = table((base + 12000, 32))
    was, now = f.normalised(old, True), f.normalised(new, False)
    assert len(was) == len(old) and len(now) == len(new)

    def differing(a, b):
        return sum(x != y for x, y in zip(a, b, strict=True))

    assert differing(old[12000:], new[12032:]) > 500
    assert differing(was[12000:], now[12032:]) < 100


def test_moves_are_those_of_the_copies():
    base = 0x40200000
    old = code_images.xtensa(7, 20000, base)
    new = code_images.moved(xtensa.Xtensa, old, base, 8000, 12)
    f = xtensa.Xtensa(base, len(old), RANGES[0])
    segments = [Segment(0, 8000, 0), Segment(8000, 12, None), Segment(8012, 12000, 8000)]
    values, shifts = f.moves(old, new, segments)
    own = (values >= base) & (values < base + len(old))
    assert own.sum() > 1000
    assert np.mean(shifts[own & (values >= base + 8000)] == 12) > 0.95
    assert np.mean(shifts[own & (values < base + 8000)] == 0) > 0.95
