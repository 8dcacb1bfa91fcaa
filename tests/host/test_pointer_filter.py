"""Pointer filters: the host's vectorised form means what the device's code does."""

import random
import struct

import code_images
import numpy as np
import pytest
from ota import package
from ota.delta.pointers import thumb as device
from otatool.patch import covers, payload, pointers
from otatool.patch import find as delta
from otatool.patch.covers import Segment
from otatool.patch.pointers import thumb
from otatool.patch.pointers.kinds import candidates
from otatool.release import keys
from otatool.release import package as build
from pointer_rig import on_device, table

KEY = keys.generate("hmac")


@pytest.mark.parametrize("base", [0, 0x08020000, 0x10000000])
def test_predict_is_what_the_device_does(base):
    r = random.Random(base)
    changed = 0
    for seed in range(120):
        image = code_images.thumb(seed, 3000, base)
        f = thumb.Thumb(base, len(image))
        starts = sorted(r.sample(range(base, base + len(image)), 6)) + [0x20000400]
        f.table = table(*((s, r.choice((0, 2, 4, -8, 300, -4098))) for s in sorted(starts)))
        for _ in range(12):
            old = r.randrange(len(image))
            n = r.choice((0, 1, 2, 3, 4, 5, 6, 40, 999))
            piece = image[old : old + n]
            new = old + r.choice((0, 1, 2, 4, 6, -12, 4096, 4098))
            got = f.predict(piece, old, new)
            assert got == on_device(device, f, piece, old, new)
            changed += got != piece
    assert changed > 200


def test_a_call_follows_what_it_calls():
    # BL at 0x100 to 0x200; the call moved by 4, what is called by 0x20.
    first, second = thumb._encode(np.array([0x200 - 0x104]), np.array([0xD000]))
    piece = struct.pack("<HH", int(first[0]), int(second[0]))
    f = thumb.Thumb(0, 0x1000)
    f.table = table((0x200, 0x20))
    h = np.frombuffer(f.predict(piece, 0x100, 0x104), "<u2").astype(np.int64)
    assert thumb._distance(h[:1], h[1:]) == 0x220 - 0x108


@pytest.mark.parametrize("distance", [0, 2, -2, -4, 0x3FFFFE, -0x400000, 0xFFFFFE, -0x1000000])
def test_distances_of_every_length(distance):
    first, second = thumb._encode(np.array([distance]), np.array([0xD000]))
    assert thumb._is_call(first, second).all()
    assert thumb._distance(first, second) == distance


def test_fit_finds_the_steps_and_leaves_strays_to_corrections():
    values = np.arange(0, 40000, 8)
    shifts = np.where(values < 12000, 0, np.where(values < 30000, 64, -16))
    shifts[[77, 2000, 4900]] = 999
    found = pointers.fit(values, shifts)
    assert found.starts.tolist() == [12000, 30000]
    assert found.shifts.tolist() == [64, -16]


def test_fit_keeps_to_the_memory_there_is():
    # Two thousand places that grew, with more and more pointers behind each.
    shifts = np.repeat(np.arange(2, 4002, 2), np.arange(2000) // 100 + 1)
    values = np.arange(len(shifts)) * 4
    assert 100 < len(pointers.fit(values, shifts).starts) <= pointers.TABLE_MAX


@pytest.mark.parametrize("base", [0, 0x08020000])
@pytest.mark.parametrize("in_place", [False, True])
def test_code_that_moved_becomes_a_small_patch(base, in_place):
    old = code_images.thumb(3, 60000, base)
    new = code_images.moved(thumb.Thumb, old, base, 20000, 52)
    plain = payload.PatchWriter(
        delta.plan(old, new, 4096, in_place, quick=True), old, new, 4096, in_place
    )
    best = delta.best(old, new, 4096, in_place, quick=True)
    assert best.filter is not None and best.filter.base == base
    assert payload.deflated_size(best) * 4 < payload.deflated_size(plain)
    assert payload.decode(best, old, len(new), 4096, in_place) == new
    # Every restart brings the table again.
    assert payload.decode(best, old, len(new), 4096, in_place, restart_blocks=3) == new


@pytest.mark.parametrize("in_place", [False, True])
def test_whole_way_through_a_package(in_place):
    old = code_images.thumb(5, 50000, 0)
    new = code_images.moved(thumb.Thumb, old, 0, 9000, 24)
    new = new[:20000] + random.Random(1).randbytes(12288) + new[20000:]
    meta = build.Meta("p", "0.2")
    reverse = build.Meta("p", "0.1") if in_place else None
    made = build.patch(
        old, new, meta, [KEY], in_place=in_place, reverse=reverse, restart=4096, quick=True
    )
    assert sum(restart for _, restart in made.chunks) > 1
    assert build.decode(made.data, old) == new
    kind, count, base, _, _ = package.parse(made.data[: sum(package.lengths(made.data))]).pointers
    assert (kind, base) == (1, 0)
    assert 0 < count <= pointers.TABLE_MAX


def test_what_is_no_code_gets_no_filter():
    text = b"".join(b"line %d of a text\n" % (i * i) for i in range(3000))
    assert list(candidates(text)) == []
    assert list(candidates(random.Random(1).randbytes(60000))) == []
    assert list(candidates(b"")) == []
    assert delta.best(text, b"x" + text).filter is None


def test_moves_are_those_of_the_copies():
    old = code_images.thumb(7, 20000, 0)
    new = code_images.moved(thumb.Thumb, old, 0, 8000, 12)
    f = thumb.Thumb(0, len(old))
    segments = [Segment(0, 8000, 0), Segment(8000, 12, None), Segment(8012, 12000, 8000)]
    values, shifts = f.moves(old, new, segments)
    assert len(values) > 400
    assert set(shifts[values >= 8000].tolist()) == {12}
    assert set(shifts[values < 8000].tolist()) == {0}
    assert isinstance(covers.merge(segments), list)
