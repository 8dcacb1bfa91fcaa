"""The encoder: whatever it makes, the device's code turns back into the new image."""

import itertools
import json
import random
import struct
import zlib
from pathlib import Path

import bsdiff4
import make_delta_vectors
import numpy as np
import pytest
from ota.delta.patch import Patch
from ota.errors import VerifyError
from ota.package.inflate import Inflater
from otatool.patch import (
    blocks as placing,
)
from otatool.patch import (
    covers,
    matcher,
    ordering,
    payload,
    stash,
    stream,
)
from otatool.patch import (
    find as delta,
)
from otatool.patch.covers import Segment

BLOCKS = (256, 1024, 4096)


def firmware(seed, size=40000):
    """Bytes like machine code: recurring words, tables of addresses, text."""
    r = random.Random(seed)
    words = [r.randbytes(2) for _ in range(300)]
    text = b"".join(r.choice((b"error ", b"value ", b"open ", b"of ")) for _ in range(400))
    code = b"".join(r.choice(words) for _ in range(size // 2))
    table = b"".join(struct.pack("<I", 0x08020000 + r.randrange(size)) for _ in range(500))
    return (code[: size // 2] + table + text + code[size // 2 :])[:size]


def relinked(old, at=9000, grown=52):
    """The same with something inserted: what lies behind moves, addresses change regularly."""
    new = bytearray(old[:at] + random.Random(at).randbytes(grown) + old[at:])
    table = len(old) // 2 + grown
    for i in range(table, table + 2000, 4):
        value = struct.unpack_from("<I", new, i)[0]
        struct.pack_into("<I", new, i, value + grown & 0xFFFFFFFF)
    return bytes(new)


def edited(seed, old):
    """Random edits, moves, cuts and growth."""
    r = random.Random(seed)
    new = bytearray(old)
    for _ in range(r.randrange(1, 12)):
        at = r.randrange(len(new) + 1)
        n = r.choice((1, 3, 40, 700, 5000))
        kind = r.randrange(5)
        if kind == 0:
            new[at : at + n] = r.randbytes(min(n, len(new) - at))
        elif kind == 1:
            new[at:at] = r.randbytes(n)
        elif kind == 2:
            del new[at : at + n]
        elif kind == 3:
            to = r.randrange(len(new) + 1)
            new[to:to] = new[at : at + n]
        else:
            for i in range(at, min(at + n, len(new)), r.randrange(1, 9)):
                new[i] = new[i] + 4 & 255
    return bytes(new)


def moved(old, block, turn):
    """Whole blocks change places: cycles, in place."""
    parts = [old[i : i + block] for i in range(0, len(old), block)]
    return b"".join(parts[turn:] + parts[:turn])


PAIRS = {
    "equal": (firmware(1), firmware(1)),
    "one byte": (firmware(1), firmware(1)[:12345] + b"\x99" + firmware(1)[12346:]),
    "relinked": (firmware(2), relinked(firmware(2))),
    "unlike": (random.Random(1).randbytes(9000), random.Random(2).randbytes(9500)),
    "both empty": (b"", b""),
    "empty old": (b"", firmware(3, 5000)),
    "empty new": (firmware(3, 5000), b""),
    "grown": (firmware(4, 5000), firmware(4, 5000) + firmware(5, 20000)),
    "shrunk": (firmware(4, 20000), firmware(4, 20000)[:3000]),
    "cut in front": (firmware(4, 20000), firmware(4, 20000)[9000:]),
    "turned": (firmware(6, 32768), moved(firmware(6, 32768), 4096, 3)),
    "swapped": (firmware(6, 8192), moved(firmware(6, 8192), 4096, 1)),
    "reversed": (firmware(7), firmware(7)[::-1]),
    "one byte image": (b"a", b"b"),
    "whole blocks": (firmware(8, 16384), relinked(firmware(8, 16384), 5000)[:16384]),
    "zeros": (bytes(30000), bytes(29000) + b"x" + bytes(2000)),
}


def _tiers():
    """Blocks of 4096 bytes each way; the other sizes one way, the other one in a long test."""
    for n, name in enumerate(PAIRS):
        for block in BLOCKS:
            for in_place in (False, True):
                long = block != 4096 and (n + in_place) % 2
                yield pytest.param(
                    name, block, in_place, marks=[pytest.mark.long] if long else [],
                    id=f"{name}-{block}-{'in place' if in_place else 'slots'}",
                )  # fmt: skip


@pytest.mark.parametrize(("name", "block", "in_place"), _tiers())
def test_round_trip(name, block, in_place):
    old, new = PAIRS[name]
    plans = delta.plan(old, new, block, in_place, quick=block != 4096)
    writer = payload.PatchWriter(plans, old, new, block, in_place)
    assert writer.meta_max <= placing.META_BOUND
    for restart_blocks in (0, 1, 3):
        assert payload.decode(writer, old, len(new), block, in_place, restart_blocks) == new


_SEEDS = [s if s < 6 else pytest.param(s, marks=pytest.mark.long) for s in range(30)]


@pytest.mark.parametrize("seed", _SEEDS)
def test_random_edits(seed):
    old = firmware(seed, random.Random(seed).randrange(1, 30000))
    new = edited(seed, old)
    block = BLOCKS[seed % 3]
    for in_place in (False, True):
        plans = delta.plan(old, new, block, in_place, quick=seed > 5)
        writer = payload.PatchWriter(plans, old, new, block, in_place)
        assert payload.decode(writer, old, len(new), block, in_place, 2) == new


def test_unchanged_blocks_are_left_out_in_place_only():
    old, new = PAIRS["one byte"]
    assert len(delta.plan(old, new)) == 10
    assert [p.index for p in delta.plan(old, new, in_place=True)] == [12345 // 4096]


def test_equal_images_need_nothing_in_place():
    assert delta.plan(b"same" * 999, b"same" * 999, in_place=True) == []


def test_image_that_is_only_cut_off_brings_a_block():
    old = firmware(1)
    assert [p.index for p in delta.plan(old, old[:8192], in_place=True)] == [1]


def test_large_sectors_are_refused_in_place():
    with pytest.raises(ValueError):
        delta.plan(b"a", b"b", 4096, True, 8192)
    assert delta.plan(b"a", b"b", 4096, False, 8192)
    assert delta.plan(b"a", b"b", 4096, True, 1024)


@pytest.mark.parametrize("ordered", (False, True))
def test_the_block_asked_last_may_be_asked_again(ordered):
    old, new = PAIRS["relinked"]
    writer = payload.PatchWriter(delta.plan(old, new, 1024, ordered), old, new, 1024, ordered)
    once = [writer.block(i) for i in range(writer.count)]
    writer.restart()
    twice = [(writer.block(i), writer.block(i))[1] for i in range(writer.count)]
    assert once == twice
    # A restart that is decided on after the block was tried without one, where all has moved.
    last = writer.count - 1
    writer.restart()
    assert [writer.block(i) for i in range(last + 1)] == once
    writer.restart()
    again = writer.block(last)
    assert again != once[last]
    assert writer.block(last) == again


def test_a_restart_resets_index_and_diagonal():
    old, new = PAIRS["relinked"]
    for in_place in (False, True):
        plans = delta.plan(old, new, 1024, in_place)
        writer = payload.PatchWriter(plans, old, new, 1024, in_place)
        for i in (5, writer.count - 1):
            writer.restart()
            data = writer.block(i)
            inflater = Inflater(4096, 15)
            inflater.begin()
            inflater.write(b"\x01" + struct.pack("<HH", len(data), len(data) ^ 0xFFFF) + data)
            inflater.ready(len(data))
            decoder = Patch(
                payload.Memory(old), len(old), len(new), 1024, writer.meta_max, in_place
            )
            decoder.restart(i)
            out = bytearray(1024)
            index, length = decoder.block(inflater, memoryview(out))
            assert index == writer.index(i)
            assert out[:length] == new[index * 1024 : index * 1024 + length]


def test_plans_without_order_must_be_complete():
    old, new = PAIRS["relinked"]
    with pytest.raises(ValueError):
        payload.PatchWriter(delta.plan(old, new)[1:], old, new, 4096, False)


def test_metadata_is_bounded():
    """A correction in every third byte over 4096 bytes is more than a device takes."""
    r = random.Random(3)
    old = r.randbytes(8192)
    new = bytes((b + 1 + r.randrange(254)) & 255 if i % 3 else b for i, b in enumerate(old))
    plans = [
        stream.BlockPlan(i, i * 4096, 4096, [Segment(i * 4096, 4096, i * 4096)]) for i in (0, 1)
    ]
    assert payload.PatchWriter(plans, old, new, 4096, False).meta_max > 4096
    kept = [placing._bounded(p, stream.Source(old), new, False) for p in plans]
    writer = payload.PatchWriter(kept, old, new, 4096, False)
    assert writer.meta_max <= placing.META_BOUND
    assert payload.decode(writer, old, len(new), 4096) == new


def test_in_place_what_is_overwritten_comes_from_the_stash():
    """The device's own check refuses an order that wants more than the stash holds."""
    old, new = PAIRS["turned"]
    plans = delta.plan(old, new)
    writer = payload.PatchWriter(plans, old, new, 4096, True)
    assert sum(r.end - r.start for r in writer.stash) == 3 * 4096
    assert payload.decode(writer, old, len(new), 4096, True) == new
    writer.stash, writer._kept = [], b""
    with pytest.raises(VerifyError) as e:
        payload.decode(writer, old, len(new), 4096, True)
    assert e.value.reason == "order"


@pytest.mark.parametrize("spare", (0, 4095, 4096, 12288, 1 << 20))
@pytest.mark.parametrize("name", ("turned", "swapped", "relinked", "reversed", "cut in front"))
def test_stash_keeps_to_the_spare_flash(name, spare):
    old, new = PAIRS[name]
    size = {}
    for s in (0, spare):
        plans = delta.plan(old, new, 4096, True, quick=True, spare=s)
        writer = payload.PatchWriter(plans, old, new, 4096, True)
        assert stash.size(writer.stash) <= s
        assert len(writer.stash) <= stash.RANGES
        assert payload.decode(writer, old, len(new), 4096, True, 2) == new
        size[s] = payload.deflated_size(writer)
    assert size[spare] <= size[0] + 8
    if name in ("turned", "swapped") and spare >= 12288:
        assert size[spare] * 20 < size[0]  # nothing is lost then


def test_stash_prefers_what_is_read_more_often():
    # Block 1 and 2 want a piece of block 0, block 2 another one; there is room for one block.
    block = 1024
    plans = [
        stream.BlockPlan(0, 0, block, [Segment(0, block, None)]),
        stream.BlockPlan(1, block, block, [Segment(block, 500, 100), Segment(1524, 524, None)]),
        stream.BlockPlan(
            2,
            2048,
            block,
            [Segment(2048, 500, 100), Segment(2548, 300, 700), Segment(2848, 224, None)],
        ),
    ]
    assert stash.needed(plans, block) == [(100, 600), (700, 1000)]
    kept = stash.kept(plans, block, block)
    assert stash.needed(kept, block) == [(100, 600), (700, 1000)]
    assert stash.kept(plans, block, block - 1)[2].segments == [Segment(2048, 1024, None)]
    plans[2].segments[1:] = [Segment(2548, 524, 500)]
    assert stash.needed(stash.kept(plans, block, block), block) == [(100, 1024)]


def test_table_of_the_stash():
    assert stash.pack([stash.Range(5, 300), stash.Range(310, 311)]) == bytes(
        (2, 0, 5, 0, 5, 0xA7, 2, 10, 1)
    )


def test_in_place_order_costs_little_when_everything_moves():
    old = firmware(9, 60000)
    inserted = random.Random(9).randbytes(300)
    for new in (inserted + old, old[300:], old[:30000] + inserted + old[30000:]):
        size = {}
        for in_place in (False, True):
            plans = delta.plan(old, new, 4096, in_place)
            size[in_place] = payload.deflated_size(
                payload.PatchWriter(plans, old, new, 4096, in_place)
            )
        assert size[True] <= size[False] + 250


def test_greedy_order_is_safe_where_one_exists():
    # Block 0 wants 1, 1 wants 2, 3 wants 0; 4 wants only its own place.
    reads = {0: 1, 1: 2, 2: None, 3: 0, 4: 4}
    blocks = {i: [Segment(i * 16, 16, None if s is None else s * 16)] for i, s in reads.items()}
    order = ordering.greedy(blocks, 16, 0)
    assert sorted(order) == sorted(reads)
    for i, source in reads.items():
        if source not in (None, i):
            assert order.index(i) < order.index(source)


def lost(order, blocks, block):
    """Bytes that blocks in this order read of places that are written before."""
    written, n = set(), 0
    for i in order:
        for s in blocks[i]:
            n += sum(m for at, m in ordering.pieces(s, block) if at // block in written)
        written.add(i)
    return n


@pytest.mark.parametrize("seed", range(10))
def test_settled_orders_lose_less(seed):
    r = random.Random(seed)
    count, block = 30, 256
    blocks = {
        i: [
            Segment(i * block + k * 16, 16, r.randrange(count * block - 16))
            for k in range(block // 16)
        ]
        for i in range(count)
    }
    for start in (ordering.greedy, ordering.ascending, ordering.descending):
        before, after = start(blocks, block, 0), ordering.settled(start)(blocks, block, 0)
        assert sorted(after) == list(range(count))
        least = lost(after, blocks, block)
        assert least < lost(before, blocks, block)
        # Eased, the order breaks no more often than the spare flash asks for.
        eased = ordering.eased(start)
        assert eased(blocks, block, lost(before, blocks, block)) == before
        enough = (least + lost(before, blocks, block)) // 2
        now = eased(blocks, block, enough)
        assert sorted(now) == list(range(count))
        assert least <= lost(now, blocks, block) <= enough


def test_runs_of_blocks_move_together():
    # The second half reads the first one, and the blocks of a half read each other: none of them
    # leaves the rest for less than it costs.
    blocks = {i: [Segment(i * 256, 56, (i + 5) % 10 * 256)] for i in range(10)}
    for i in range(10):
        for k in range(5):
            blocks[i].append(Segment(i * 256 + 56 + k * 40, 40, (i // 5 * 5 + k) * 256))
    for i in range(5):
        blocks[i][0] = Segment(i * 256, 56, None)
    for better in (ordering.settled, ordering.eased):
        order = better(ordering.ascending)(blocks, 256, 0)
        assert order == [*range(5, 10), *range(5)]


@pytest.mark.parametrize("seed", range(8))
def test_a_move_gains_what_the_order_costs_less(seed):
    r = np.random.default_rng(seed)
    count = 9
    lost = r.integers(0, 40, (count, count)) * (1 - np.eye(count, dtype=int))
    index = r.permutation(count * 2)[:count]

    def cost(turn):
        lose = sum(lost[a, b] for n, a in enumerate(turn) for b in turn[n + 1 :])
        breaks = sum(abs(index[b] - index[a]) != 1 for a, b in itertools.pairwise(turn))
        return lose, lose + ordering._BREAK * breaks

    before = cost(range(count))
    for gain, saved, start, end, to in ordering._moves(lost, index):
        best = 0
        for i in range(count - (end - start) + 1):
            rest = [n for n in range(count) if not i <= n < i + end - start]
            for p in range(len(rest) + 1):
                now = cost([*rest[:p], *range(i, i + end - start), *rest[p:]])
                if now[0] < before[0]:
                    best = max(best, before[1] - now[1])
        assert gain == best
        if gain:
            rest = [n for n in range(count) if not start <= n < end]
            place = to if to < start else to - (end - start)
            now = cost([*rest[:place], *range(start, end), *rest[place:]])
            assert (before[1] - now[1], before[0] - now[0]) == (gain, saved)


def test_settled_finds_the_cheapest_cut_of_a_circle():
    # Each reads of the next; the least is lost if 2 is written after 1, which it reads least of.
    sizes = (90, 80, 10)
    blocks = {
        i: [Segment(i * 256, n, (i + 1) % 3 * 256)] for i, n in enumerate(sizes)
    }  # fmt: skip
    assert lost(ordering.settled(ordering.descending)(blocks, 256, 0), blocks, 256) == 10


def test_room_that_is_left_joins_the_ranges_of_the_stash():
    block = 256
    plans = [stream.BlockPlan(0, 0, block, [Segment(0, block, None)])]
    reads = [Segment(block + k * 20, 20, k * 25) for k in range(10)]
    plans.append(stream.BlockPlan(1, block, 200, reads))
    assert len(stash.needed(plans, block)) == 1  # 5 bytes apart: joined anyway
    reads = [Segment(block + k * 8, 8, k * 24) for k in range(10)]
    plans[1] = stream.BlockPlan(1, block, 80, reads)
    assert stash.size(stash.needed(plans, block)) == 80
    assert stash.needed(plans, block, block - 1) == stash.needed(plans, block)
    assert stash.needed(plans, block, block) == [(0, 9 * 24 + 8)]


def test_covers_are_in_turn_and_inside():
    for old, new in PAIRS.values():
        at = 0
        for c in covers.bsdiff_covers(old, new):
            assert c.new >= at and c.length > 0 and c.old >= 0
            assert c.old + c.length <= len(old)
            at = c.new + c.length
        assert at <= len(new)


def check_ways(old, new, rounds):
    """Every candidate fills new from end to end and copies from inside old; returns them."""
    ways = matcher.search(old, new, None, rounds)[0]
    for way in ways:
        at = 0
        for s in way:
            assert s.new == at and s.length > 0
            assert s.old is None or 0 <= s.old <= len(old) - s.length
            at += s.length
        assert at == len(new)
    return ways


@pytest.mark.parametrize("name", PAIRS)
def test_candidates_fill_the_image(name):
    old, new = PAIRS[name]
    ways = check_ways(old, new, 2)
    assert ways
    assert matcher.search(old, new, None, 2)[0] == ways


@pytest.mark.parametrize("seed", range(30))
def test_candidates_of_random_edits(seed):
    old = firmware(seed, random.Random(seed).randrange(1, 30000))
    check_ways(old, edited(seed, old), 1)


@pytest.mark.parametrize("size", (1, 2, 3, 4, 5, 8, 63, 64, 65, 1023, 1025, 1217))
def test_candidates_of_small_images(size):
    image = firmware(13, 2048)
    check_ways(image[:size], image[:1200], 1)
    check_ways(image[:1200], image[1:][:size], 1)
    check_ways(image[:size], image[:size][::-1], 1)


def test_candidates_of_images_that_repeat():
    """What matches itself everywhere costs no more time or memory than code."""
    size = 1 << 20
    zeros = bytes(size)
    check_ways(zeros[: 1 << 18], zeros[: 1 << 18] + b"end", 1)  # bsdiff is slow on these
    check_ways(zeros, (bytes(1022) + b"ab") * 300, 1)
    check_ways(b"\xff" * size, zeros, 1)
    check_ways(b"abcdefg" * 40000, b"abcdefgh" * 30000, 1)


def test_candidates_beat_the_covers_where_code_was_rearranged():
    """Pieces too short for bsdiff come from everywhere, each with a byte changed."""
    r = random.Random(17)
    old = firmware(17, 30000)
    new = bytearray()
    while len(new) < 12000:
        at = r.randrange(len(old) - 100)
        piece = bytearray(old[at : at + r.randrange(12, 60)])
        piece[r.randrange(len(piece))] ^= 1
        new += piece
    new = bytes(new)
    found = covers.bsdiff_covers(old, new)
    plain = [covers.whole(new, found), covers.refine(old, new, found, covers.Costs())]
    size = [matcher._Stream(old, new, way).size for way in matcher.search(old, new)[0]]
    assert size[0] == min(size)
    assert size[0] < 0.95 * min(matcher._Stream(old, new, way).size for way in plain)


def test_a_measured_stream_is_that_of_the_patch():
    """What the matcher measures is what the encoder writes."""
    for name in ("relinked", "turned", "zeros"):
        old, new = PAIRS[name]
        way = matcher.search(old, new, None, 1)[0][0]
        plans = []
        for start in range(0, len(new), 4096):
            end = min(start + 4096, len(new))
            cut = [
                Segment(a, b - a, None if s.old is None else s.old + a - s.new)
                for s in way
                for a, b in [(max(s.new, start), min(s.new + s.length, end))]
                if a < b
            ]
            plans.append(stream.BlockPlan(start // 4096, start, end - start, cut))
        writer = payload.PatchWriter(plans, old, new, 4096, False)
        assert payload.deflated_size(writer) == matcher._Stream(old, new, way).size


@pytest.mark.parametrize("level", (0, 1, 6, 9))
def test_bits_are_those_that_deflate_spent(level):
    r = random.Random(level)
    for data in (b"", b"a", b"ab" * 9000, r.randbytes(70000), firmware(level, 60000)):
        z = zlib.compressobj(level, zlib.DEFLATED, -12, 9)
        packed = z.compress(data) + z.flush()
        bits = matcher.bits_of(packed)
        assert len(bits) == len(data)
        # The rest are headers of blocks and their ends.
        assert 0.9 * 8 * len(packed) - 1000 <= bits.sum() <= 8 * len(packed)


def test_full_image():
    for size in (0, 1, 4096, 10000):
        new = firmware(1, 10000)[:size]
        writer = payload.FullWriter(new, 4096)
        assert writer.meta_max == 0
        assert [writer.index(i) for i in range(writer.count)] == list(range(-(-size // 4096)))
        assert payload.decode(writer, b"", size, 4096, restart_blocks=2) == new


def test_an_edited_constant_costs_next_to_nothing():
    old, new = PAIRS["one byte"]
    size = payload.deflated_size(payload.PatchWriter(delta.plan(old, new), old, new, 4096, False))
    assert size <= 48
    assert size < len(bsdiff4.diff(old, new)) / 3


def test_few_changes_beat_bsdiff():
    old = firmware(11, 100000)
    new = bytearray(old)
    for at in range(500, 100000, 6000):
        new[at : at + 2] = b"v2"
    new = bytes(new)
    writer = payload.PatchWriter(delta.plan(old, new), old, new, 4096, False)
    assert payload.deflated_size(writer) < len(bsdiff4.diff(old, new))


@pytest.mark.parametrize("name", ("patch", "in_place"))
def test_vectors_are_of_the_images_the_script_makes(name):
    vectors = Path(__file__).parents[1] / "vectors" / "delta"
    v = json.loads((vectors / (name + ".json")).read_text())
    assert tuple(bytes.fromhex(v[k]) for k in ("old", "new")) == make_delta_vectors.images()


@pytest.mark.parametrize("in_place", [False, True])
def test_quick_is_no_smaller_and_decodes(in_place):
    old = firmware(2, 20000)
    new = relinked(old, 5000)
    quick = delta.best(old, new, 4096, in_place, quick=True)
    slow = delta.best(old, new, 4096, in_place)
    assert payload.deflated_size(slow) <= payload.deflated_size(quick)
    assert payload.decode(quick, old, len(new), 4096, in_place) == new
    assert payload.decode(slow, old, len(new), 4096, in_place) == new
