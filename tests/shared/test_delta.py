"""Decoders of both encodings: every rule of docs/format-delta.md and every refusal."""

import unittest

import vector_files
from delta_stream import Base, Noise, Plain, block, copy, home, literal, placed, varint
from ota.delta.add import add
from ota.delta.full import Full
from ota.delta.patch import META_LIMIT, Patch
from ota.delta.pointers import Pointers
from ota.errors import VerifyError
from ota.package.inflate import Inflater

try:
    from ota.delta.add_viper import add as add_viper
except (ImportError, SyntaxError, ValueError, NotImplementedError):
    add_viper = None

SIZE = 16
BASE = bytes(range(100, 164))  # four blocks of old bytes


def patch(image_size=64, ordered=False, done=None, base=BASE, base_size=None, meta_max=64):
    """A decoder of small blocks."""
    size = len(base) if base_size is None else base_size
    return Patch(Base(base), size, image_size, SIZE, meta_max, ordered, done)


def run(decoder, stream, blocks=1, step=0):
    """Decode; return (index, bytes) of each block. The stream must be used up."""
    inflater = Plain(stream)
    decoder.restart(step)
    out = bytearray(SIZE)
    got = []
    for _ in range(blocks):
        number, length = decoder.block(inflater, memoryview(out))
        got.append((number, bytes(out[:length])))
    assert inflater.empty
    return got


class TestFull(unittest.TestCase):
    def test_blocks_come_in_turn_and_the_last_is_short(self):
        data = bytes(range(40))
        got = run(Full(40, SIZE), data, 3)
        self.assertEqual(got, [(0, data[:16]), (1, data[16:32]), (2, data[32:])])

    def test_image_of_whole_blocks(self):
        data = bytes(range(32))
        self.assertEqual(run(Full(32, SIZE), data, 2)[1], (1, data[16:]))

    def test_starts_at_a_restart_and_skips(self):
        decoder = Full(40, SIZE)
        inflater = Plain(bytes(range(16, 40)))
        decoder.restart(1)
        self.assertEqual(decoder.skip(inflater), (1, 16))
        out = bytearray(SIZE)
        self.assertEqual(decoder.block(inflater, memoryview(out)), (2, 8))
        self.assertEqual(bytes(out[:8]), bytes(range(32, 40)))

    def test_more_blocks_than_the_image_has(self):
        for size, step in ((40, 3), (0, 0), (16, -1)):
            with self.subTest(size=size, step=step):
                with self.assertRaises(VerifyError) as c:
                    run(Full(size, SIZE), bytes(64), 1, step)
                self.assertEqual(c.exception.reason, "patch")

    def test_stream_that_ends(self):
        with self.assertRaises(VerifyError) as c:
            run(Full(40, SIZE), bytes(20), 2)
        self.assertEqual(c.exception.reason, "inflate")


class TestPatch(unittest.TestCase):
    def refused(self, decoder, stream, word="patch", blocks=1, step=0):
        with self.assertRaises(VerifyError) as c:
            run(decoder, stream, blocks, step)
        self.assertEqual(c.exception.reason, word)

    def test_copy_to_the_end_of_the_block(self):
        self.assertEqual(run(patch(), block(copy(0))), [(0, BASE[:16])])

    def test_copy_of_the_whole_block_by_its_length(self):
        self.assertEqual(run(patch(), block(copy(16, 5))), [(0, BASE[5:21])])

    def test_literals_between_copies_keep_the_diagonal(self):
        stream = block(copy(4, 10) + literal(3) + copy(0, 0), b"xyz")
        self.assertEqual(run(patch(), stream), [(0, BASE[10:14] + b"xyz" + BASE[17:26])])

    def test_diagonal_goes_on_in_the_next_block(self):
        stream = block(copy(0, 3)) + block(literal(2) + copy(0), b"ab") + block(copy(0, -3))
        got = run(patch(), stream, 3)
        self.assertEqual(got[1], (1, b"ab" + BASE[21:35]))
        self.assertEqual(got[2], (2, BASE[32:48]))

    def test_restart_forgets_the_diagonal_and_tells_the_step(self):
        decoder = patch()
        run(decoder, block(copy(0, 7)))
        self.assertEqual(run(decoder, block(copy(0)), 1, 2), [(2, BASE[32:48])])

    def test_blocks_of_a_patch_come_in_turn(self):
        got = run(patch(), block(copy(0)) * 4, 4)
        self.assertEqual([i for i, _ in got], [0, 1, 2, 3])
        self.assertEqual(b"".join([b for _, b in got]), BASE)

    def test_last_block_is_short(self):
        got = run(patch(21), block(copy(0)) * 2, 2)
        self.assertEqual(got[1], (1, BASE[16:21]))

    def test_corrections_are_added_over_copies_and_literals(self):
        # skip 1, one byte; skip 2, run of 3; the last one at the end of the block
        gaps = varint(1 << 1) + varint(2 << 1 | 1) + varint(1) + varint(8 << 1)
        stream = block(copy(6) + literal(0), b"0123456789", gaps, b"\x01\x02\xff\x9c\xcf")
        want = bytearray(BASE[:6] + b"0123456789")
        for at, value in ((1, 1), (4, 2), (5, 255), (6, 156), (15, 207)):
            want[at] = (want[at] + value) & 255
        self.assertEqual(run(patch(), stream), [(0, bytes(want))])

    def test_run_over_the_whole_block(self):
        gaps = varint(1) + varint(14)
        got = run(patch(), block(copy(0), b"", gaps, bytes([1] * 16)))
        self.assertEqual(got, [(0, bytes(range(101, 117)))])

    def test_varint_of_five_bytes(self):
        # Wordy, but the value is what counts.
        control = b"\xc2\x80\x80\x80\x00" + b"\x86\x80\x80\x80\x00"
        gaps = b"\x82\x80\x80\x80\x00"
        got = run(patch(), block(control, b"", gaps, b"\x01"))
        self.assertEqual(got, [(0, BASE[3:4] + b"\x69" + BASE[5:19])])

    def test_without_operations_a_block_is_copied_along_the_diagonal(self):
        self.assertEqual(run(patch(), block(b"")), [(0, BASE[:16])])
        got = run(patch(), block(copy(2, 5) + literal(3), b"abc") + block(b""), 2)
        self.assertEqual(got[0][1], BASE[5:7] + b"abc" + BASE[10:21])
        self.assertEqual(got[1][1], BASE[21:37])
        self.refused(patch(base_size=15), block(b""))
        got = run(patch(), block(b"", b"", varint(3 << 1), b"\x01"))
        self.assertEqual(got[0][1], BASE[:3] + b"\x68" + BASE[4:16])

    def test_home_is_the_diagonal_of_the_last_long_copy(self):
        base = bytes([i * 7 & 255 for i in range(512)])

        def decoded(first, second):
            decoder = Patch(Base(base), 512, 256, 128, 64, False)
            decoder.restart(0)
            inflater = Plain(first + second)
            out = bytearray(128)
            got = b""
            for _ in range(2):
                decoder.block(inflater, memoryview(out))
                got += bytes(out)
            return got

        first = block(copy(64, 20) + copy(0, 9))
        want = base[20:84] + base[93:157]
        # 64 bytes are long: both copies are. From home back to it, from there to another.
        got = decoded(first, block(copy(63, -40) + home(0, 0)))
        self.assertEqual(got, want + base[117:180] + base[220:285])
        got = decoded(first, block(copy(63, -40) + home(1, -2) + literal(0), b"x" * 64))
        self.assertEqual(got[128:], base[117:180] + base[218:219] + b"x" * 64)
        # What comes without an operation counts, too.
        got = decoded(block(copy(63, 50) + copy(1, 0)), block(copy(1, 3) + home(0)))
        self.assertEqual(got[128:], base[181:182] + base[179:306])
        # At first, and after a restart, home is 0.
        self.assertEqual(
            run(patch(), block(copy(3, 5) + home(0, 1)))[0][1], BASE[5:8] + BASE[4:17]
        )
        decoder = Patch(Base(base), 512, 256, 128, 64, False)
        out = bytearray(128)
        for step in (0, 1):
            decoder.restart(step)
            stream = block(copy(1, 9) + home(0, 0)) if step else block(copy(0, 77))
            decoder.block(Plain(stream), memoryview(out))
        self.assertEqual(out, base[137:138] + base[129:256])

    def test_metadata_is_bounded_by_the_header(self):
        control = literal(1) * 15 + literal(0)
        self.assertEqual(run(patch(meta_max=16), block(control, BASE[:16])), [(0, BASE[:16])])
        self.refused(patch(meta_max=15), block(control, BASE[:16]))
        for lengths in ((65535, 0, 0), (0, 65535, 0), (0, 0, 65535), (65535, 65535, 65535)):
            self.refused(patch(), block(control, BASE, b"", b"", lengths))

    def test_wild_meta_max_is_refused(self):
        for meta_max in (-1, META_LIMIT + 1):
            with self.assertRaises(VerifyError):
                patch(meta_max=meta_max)

    def test_truncated_stream(self):
        whole = block(copy(4, 10) + literal(0), b"0123456789ab", varint(2), b"\x01")
        self.assertEqual(len(run(patch(), whole)), 1)
        for n in range(len(whole)):
            self.refused(patch(), whole[:n], "inflate")

    def test_truncated_metadata(self):
        control = copy(4, 100) + literal(0)
        for n in (1, 2):
            self.refused(patch(base=BASE * 4), block(control[:n], b"0123456789ab"))
        self.assertEqual(len(run(patch(base=BASE * 4), block(control[:3]))), 1)

    def test_head_of_many_bytes(self):
        # Nine bytes are what three lengths may take; wordy ones count like any.
        got = run(patch(), b"\x82\x80\x00\x80\x80\x00\x80\x00" + copy(0, 99 - 64), 1)
        self.assertEqual(got, [(0, BASE[35:51])])
        self.refused(patch(), b"\x80" * 9 + b"\x00" * 9)
        self.refused(patch(), b"\xff" * 60)

    def test_control_left_over(self):
        self.refused(patch(), block(copy(0) + b"\x00"))
        self.refused(patch(), block(copy(16) + copy(0)))

    def test_operation_longer_than_the_block(self):
        for control in (copy(17), literal(17), copy(10) + copy(7), literal(1 << 33)):
            self.refused(patch(), block(control, bytes(32)))
        self.refused(patch(21), block(copy(0)) + block(copy(6)), "patch", 2)

    def test_copy_outside_the_base(self):
        for stream in (
            block(copy(0, -1)),
            block(copy(0, 49)),
            block(copy(1, 64) + literal(0), bytes(15)),
            block(copy(0, 1 << 32)),
            block(copy(0, -(1 << 32))),
        ):
            self.refused(patch(), stream)
        self.assertEqual(run(patch(), block(copy(0, 48))), [(0, BASE[48:])])
        self.refused(patch(base_size=63), block(copy(0, 48)))
        self.refused(patch(base_size=0), block(copy(0)))

    def test_varint_too_long(self):
        for wild in (b"\xa0\x80\x80\x80\x80\x00", b"\xff" * 8):
            self.refused(patch(), block(wild, bytes(16)))
            self.refused(patch(), block(b"\x01" + wild, bytes(16)))
            self.refused(patch(), block(copy(0), b"", wild, b"\x01"))
            self.refused(patch(), block(copy(0), b"", b"\x01" + wild, b"\x01\x01"))

    def test_wrong_corrections(self):
        for gaps, values in (
            (varint(16 << 1), b"\x01"),  # behind the block
            (varint(15 << 1 | 1) + varint(0), b"\x01\x01"),  # run over the edge
            (varint(2) + varint(15 << 1), b"\x01\x01"),
            (varint(2), b""),  # no value
            (varint(1) + varint(1), b"\x01\x01"),  # a value too few
            (varint(2), b"\x01\x01"),  # a value too many
            (b"", b"\x01"),
            (varint(1), b"\x01\x01"),  # no length of the run
            (b"\x82", b"\x01"),  # half a varint
            (varint(1) + b"\x80", b"\x01\x01"),
            (varint(1 << 31), b"\x01"),
            (varint(1 << 32), b"\x01"),
            (varint(1) + varint((1 << 32) - 2), b"\x01"),
            (varint(1 << 21), b"\x01"),
        ):
            with self.subTest(gaps=gaps, values=values):
                self.refused(patch(), block(copy(0), b"", gaps, values))
        self.refused(
            patch(21), block(copy(0)) + block(copy(0), b"", varint(10), b"\x01"), "patch", 2
        )

    def test_more_blocks_than_the_image_has(self):
        self.refused(patch(), block(copy(0)), "patch", 1, 4)
        self.refused(patch(), block(copy(0)), "patch", 1, -1)
        self.refused(patch(0), block(copy(0)))
        self.refused(patch(16), block(copy(0)) * 2, "patch", 2)


class TestOrdered(unittest.TestCase):
    def refused(self, stream, word="patch", blocks=1, done=None):
        with self.assertRaises(VerifyError) as c:
            run(patch(64, True, done), stream, blocks)
        self.assertEqual(c.exception.reason, word)

    def test_index_counts_from_the_block_after_the_last(self):
        steps = (2, -2, 1, -4)
        stream = b"".join([placed(s, literal(), bytes([i] * 16)) for i, s in enumerate(steps)])
        got = run(patch(64, True, bytearray(1)), stream, 4)
        self.assertEqual([i for i, _ in got], [2, 1, 3, 0])

    def test_a_block_below_the_last_one_comes_from_its_end_on(self):
        # Block 1 copies its last 5 bytes, then come literals, in front of them what is missing.
        first = placed(2, copy(3, -4) + copy(0, -2))
        below = copy(5) + literal(4) + literal(3) + copy(0, 3)
        stream = first + placed(-2, below, b"abcdxyz")
        got = run(patch(64, True, bytearray(1)), stream, 2)
        self.assertEqual(got[0], (2, BASE[28:31] + BASE[29:42]))
        self.assertEqual(got[1], (1, BASE[13:17] + b"xyzabcd" + BASE[21:26]))

    def test_what_is_missing_of_a_block_below_is_at_its_start(self):
        # Corrections count from the start of a block, whichever way its operations go.
        first = placed(1, literal(), b"q" * 16)
        stream = first + placed(-2, literal(6), b"behind", b"\x02", b"\x05")
        got = run(patch(64, True, bytearray(1)), stream, 2)
        self.assertEqual(got[1], (0, BASE[:1] + bytes((BASE[1] + 5,)) + BASE[2:10] + b"behind"))

    def test_a_short_last_block_goes_either_way(self):
        first = placed(3, literal(2) + copy(0, -8), b"zz")
        got = run(patch(54, True, bytearray(1)), first + placed(-2, copy(2) + literal(),
                  b"fourteen bytes"), 2)  # fmt: skip
        self.assertEqual(got[0], (3, b"zz" + BASE[42:46]))
        self.assertEqual(got[1], (2, b"fourteen bytes" + BASE[38:40]))
        # A restart forgets what the last block was.
        got = run(patch(54, True, bytearray(1)), placed(2, literal(2) + copy(0), b"zz"))
        self.assertEqual(got, [(2, b"zz" + BASE[34:48])])

    def test_restart_counts_from_the_start_whatever_the_step(self):
        got = run(patch(64, True), placed(3, copy(0, 0)), 1, 17)
        self.assertEqual(got, [(3, BASE[48:])])

    def test_change_of_diagonal_leaves_a_bit(self):
        stream = placed(0, copy(4, 9) + copy(0, -4))
        self.assertEqual(run(patch(64, True), stream), [(0, BASE[9:13] + BASE[9:21])])

    def test_block_outside_the_image(self):
        for step in (-1, 4, 1 << 30, -(1 << 30)):
            self.refused(placed(step, literal(), bytes(16)))

    def test_reserved_bits(self):
        self.refused(placed(None, b"\x01" + literal(), bytes(16)))
        self.refused(placed(0, b"\x01" + b"\x01"))

    def test_without_an_index_blocks_go_on_as_they_went(self):
        stream = placed(None, copy(0, 1)) + placed(None)
        self.assertEqual(run(patch(64, True), stream, 2), [(0, BASE[1:17]), (1, BASE[17:33])])
        # Down from a block below the last one; up again from one above.
        steps = (4, -3, None, 1, None, None)
        stream = b"".join([placed(s, literal(), bytes([i] * 16)) for i, s in enumerate(steps)])
        got = run(patch(96, True), stream, 6)
        self.assertEqual([i for i, _ in got], [4, 2, 1, 3, 4, 5])

    def test_nothing_before_the_first_and_behind_the_last(self):
        self.refused(placed(1, literal(), bytes(16)) + placed(-2, literal(), bytes(16))
                     + placed(None, literal(), bytes(16)), "patch", 3)  # fmt: skip
        self.refused(placed(3, literal(), bytes(16)) + placed(None, literal(), bytes(16)),
                     "patch", 2)  # fmt: skip

    def test_restart_forgets_which_way_blocks_went(self):
        decoder = patch(64, True)
        out = bytearray(SIZE)
        decoder.restart(0)
        inflater = Plain(placed(3, copy(0)) + placed(-2))
        self.assertEqual([decoder.block(inflater, memoryview(out))[0] for _ in "ab"], [3, 2])
        decoder.restart(2)
        self.assertEqual(decoder.block(Plain(placed(None)), memoryview(out)), (0, 16))

    def test_index_without_a_byte(self):
        self.refused(block(b"", lengths=(1, 0, 0)))

    def test_block_twice(self):
        twice = placed(1, literal(), bytes(16)) + placed(-1, literal(), bytes(16))
        self.refused(twice, "order", 2, bytearray(1))

    def test_copy_out_of_an_overwritten_block(self):
        first = placed(1, literal(), bytes(16))
        for change in (17 - 32, 1 - 32, 31 - 32, 16 - 32):
            with self.subTest(change=change):
                stream = first + placed(0, copy(0, change))
                self.refused(stream, "order", 2, bytearray(1))

    def test_copy_beside_an_overwritten_block(self):
        first = placed(1, literal(), bytes(16))
        for change in (-32, 0, 16):
            stream = first + placed(0, copy(0, change))
            got = run(patch(64, True, bytearray(1)), stream, 2)
            self.assertEqual(got[1], (2, BASE[32 + change : 48 + change]))

    def test_block_reads_its_own_old_bytes(self):
        got = run(patch(64, True, bytearray(1)), placed(2, copy(0, 0)))
        self.assertEqual(got, [(2, BASE[32:48])])

    def test_done_is_kept_and_obeyed(self):
        done = bytearray(1)
        run(patch(64, True, done), placed(2, literal(), bytes(16)))
        self.assertEqual(done, bytearray(b"\x04"))
        stream = placed(0, copy(0, 40))
        self.refused(stream, "order", 1, bytearray(done))
        self.refused(placed(2, literal(), bytes(16)), "order", 1, done)

    def test_old_bytes_behind_the_image_stay(self):
        # Image of two blocks, base of four: blocks 2 and 3 are nobody's place.
        decoder = patch(32, True, bytearray(b"\xfc"))
        stream = placed(0, copy(0, 40))
        self.assertEqual(run(decoder, stream), [(0, BASE[40:56])])

    def test_short_done_is_a_mistake(self):
        with self.assertRaises(ValueError):
            patch(16 * 9, True, bytearray(1))

    def test_refused_block_is_not_done(self):
        done = bytearray(1)
        self.refused(placed(1, copy(0, 100)), "patch", 1, done)
        self.assertEqual(done, bytearray(1))


class TestSkip(unittest.TestCase):
    def test_skip_keeps_the_state_and_leaves_the_base_alone(self):
        stream = placed(
            1,
            copy(4, 5) + literal(7) + copy(0, -2),
            b"literal",
            varint(2),
            b"\x01",
        ) + placed(0, literal(2) + copy(0, 0), b"ab")
        done = bytearray(1)
        decoder = patch(64, True, done)
        decoder.restart(0)
        inflater = Plain(stream)
        self.assertEqual(decoder.skip(inflater), (1, 16))
        self.assertEqual(decoder._base.reads, 0)
        self.assertEqual(done, bytearray(b"\x02"))
        out = bytearray(SIZE)
        self.assertEqual(decoder.block(inflater, memoryview(out)), (2, 16))
        self.assertEqual(bytes(out), b"ab" + BASE[37:51])
        self.assertTrue(inflater.empty)

    def test_skip_of_a_block_that_is_marked_already(self):
        done = bytearray(b"\x02")
        decoder = patch(64, True, done)
        decoder.restart(0)
        self.assertEqual(decoder.skip(Plain(placed(1, copy(0, 0)))), (1, 16))

    def test_skip_refuses_what_is_malformed(self):
        for stream in (block(copy(0, 49)), block(copy(17)), block(copy(0) + b"\x00")):
            decoder = patch()
            decoder.restart(0)
            with self.assertRaises(VerifyError) as c:
                decoder.skip(Plain(stream))
            self.assertEqual(c.exception.reason, "patch")


class TestAdd(unittest.TestCase):
    def test_wild_corrections_never_leave_the_block(self):
        noise = Noise(5)
        for _ in range(300):
            meta = bytearray(noise.bytes(1 + noise.below(24)))
            middle = noise.below(len(meta) + 1)
            out = bytearray(40)
            add(out, 32, meta, 0, middle, len(meta))
            self.assertEqual(out[32:], bytearray(8))

    def test_both_forms_do_the_same(self):
        if add_viper is None:
            self.skipTest("this interpreter has no native emitter")
        noise = Noise(9)
        good = 0
        for i in range(600):
            if i % 2:
                meta = noise.bytes(1 + noise.below(24))
                middle = noise.below(len(meta) + 1)
            else:
                gaps = b""
                values = b""
                for _ in range(noise.below(6)):
                    run_length = 1 + noise.below(4)
                    gap = noise.below(200)
                    long = run_length > 1
                    gaps += varint(gap << 1 | long) + (varint(run_length - 2) if long else b"")
                    values += noise.bytes(run_length)
                middle = len(gaps)
                meta = gaps + values
            a = bytearray(noise.bytes(520))
            b = bytearray(a)
            meta = bytearray(meta)
            ok = add(a, 512, meta, 0, middle, len(meta))
            self.assertEqual(ok, add_viper(b, 512, meta, 0, middle, len(meta)))
            self.assertEqual(a, b)
            good += ok
        self.assertGreaterEqual(good, 150)


class TestVectors(unittest.TestCase):
    def decode(self, name, first_chunk=0, piece=7):
        """Decode from a restart chunk on, in place if ordered; return (got, wanted)."""
        v = vector_files.load_json("delta/" + name)
        old, new = bytes.fromhex(v["old"]), bytes.fromhex(v["new"])
        size = v["block"]
        blocks = (len(new) + size - 1) // size
        flash = bytearray(max(blocks * size, len(old)))
        flash[: len(old)] = old
        image = flash if v["ordered"] else bytearray(blocks * size)
        done = bytearray((blocks + 7) // 8) if v["ordered"] else None
        moved = Pointers(*v["pointers"], len(old)) if "pointers" in v else None
        decoder = Patch(
            Base(flash), len(old), len(new), size, v["meta_max"], v["ordered"], done, moved
        )
        inflater = Inflater(512, v["wbits"])
        out = bytearray(size)
        for restart, first, count, inflated, stored in v["chunks"][first_chunk:]:
            stored = bytes.fromhex(stored)
            inflater.begin()
            for i in range(0, len(stored), piece):
                inflater.write(stored[i : i + piece])
            inflater.ready(inflated)
            if restart:
                decoder.restart(first)
            for _ in range(count):
                at, length = decoder.block(inflater, memoryview(out))
                image[at * size : at * size + length] = out[:length]
            self.assertEqual(inflater.left, 0)
        return bytes(image[: len(new)]), new

    def test_patch(self):
        for piece in (1, 7, 512):
            got, new = self.decode("patch.json", 0, piece)
            self.assertEqual(got, new)

    def test_patch_from_a_restart_on(self):
        got, new = self.decode("patch.json", 2)
        self.assertEqual(got[3 * 256 :], new[3 * 256 :])
        self.assertEqual(got[: 3 * 256], bytes(3 * 256))

    def test_in_place(self):
        got, new = self.decode("in_place.json")
        self.assertEqual(got, new)

    def test_pointers_that_moved(self):
        for name in ("thumb.json", "thumb_in_place.json"):
            got, new = self.decode(name)
            self.assertEqual(got, new)

    def test_pointers_from_a_restart_on(self):
        got, new = self.decode("thumb.json", 2)
        self.assertEqual(got[3 * 256 :], new[3 * 256 :])


if __name__ == "__main__":
    unittest.main()
