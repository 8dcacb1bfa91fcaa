import gc
import struct
import unittest
from binascii import unhexlify

from images import image, vector
from ota.errors import VerifyError
from ota.package.inflate import Inflater
from packer import noise, stored

# zlib.compressobj(9, DEFLATED, -10): a sync flush behind the first, a full flush behind the
# second, the end behind the third.
_TEXTS = (
    b"the quick brown fox " * 6,
    b"jumps over the lazy dog, " * 5,
    b"the quick brown fox and the lazy dog " * 4,
)
_PARTS = [
    unhexlify(h)
    for h in (
        "2ac94855282ccd4cce56482aca2fcf5348cbaf5028a18318000000ffff",
        "ca2acd2d2856c82f4b2d024be72456552aa4e4a7ebd04502000000ffff",
        "2bc94855282ccd4cce56482aca2fcf5348cbaf5048cc4b5128018ae72456552aa4e4a7833974540400",
    )
]
_FULL = ("full-24k-4096.ota", "full-130k-2048.ota", "full-130k-4096.ota")


def _feed(inflater, data, inflated, piece=4096):
    inflater.begin()
    for at in range(0, len(data), piece):
        inflater.write(memoryview(data)[at : at + piece])
    inflater.ready(inflated)


def _read(inflater, length, step=4096):
    out = bytearray(length)
    view = memoryview(out)
    for at in range(0, length, step):
        inflater.readinto(view[at : at + step])
    return bytes(out)


def _chunks(data):
    """(restart, inflated length, stored bytes) of every chunk of a package."""
    length, more, _ = struct.unpack("<HHH", data[6:12])
    at = length + more
    out = []
    while at < len(data):
        n, flags, _, inflated = struct.unpack("<HBBI", data[at : at + 8])
        out.append((flags & 1, inflated, data[at + 28 : at + 28 + n]))
        at += 28 + n
    return out


def _refused(case, call, *args):
    with case.assertRaises(VerifyError) as cm:
        call(*args)
    case.assertEqual(cm.exception.reason, "inflate")
    return cm.exception


class TestStream(unittest.TestCase):
    def test_chunks_fed_and_read_in_pieces(self):
        for piece in (1, 2, 7, 100):
            for step in (1, 3, 50, 1000):
                with self.subTest(piece=piece, step=step):
                    inflater = Inflater(64, 10)
                    for data, text in zip(_PARTS, _TEXTS):
                        _feed(inflater, data, len(text), piece)
                        self.assertEqual(_read(inflater, len(text), step), text)
                        self.assertEqual(inflater.left, 0)

    def test_many_chunks_of_a_real_image(self):
        # A chunk ends in the middle of a byte; what its flush left unread is not lost.
        for name in _FULL:
            for piece, step in ((512, 4096), (4096, 1000), (97, 64)):
                with self.subTest(name=name, piece=piece, step=step):
                    chunks = _chunks(vector(name))
                    inflater = Inflater(4224, 12)
                    out = []
                    for _, inflated, data in chunks:
                        _feed(inflater, data, inflated, piece)
                        out.append(_read(inflater, inflated, step))
                    size = 24 if "24k" in name else 130
                    self.assertEqual(b"".join(out), image(2, size * 1024))
                    self.assertGreaterEqual(len(chunks), 2)

    def test_one_inflater_runs_through_restarts(self):
        inflater = Inflater(64, 10)
        got = b""
        for n in (0, 1, 2):
            _feed(inflater, _PARTS[n], len(_TEXTS[n]))
            got += _read(inflater, len(_TEXTS[n]))
        self.assertEqual(got, b"".join(_TEXTS))

    def test_fresh_inflater_starts_at_a_restart(self):
        inflater = Inflater(64, 10)
        _feed(inflater, _PARTS[2], len(_TEXTS[2]))
        self.assertEqual(_read(inflater, len(_TEXTS[2])), _TEXTS[2])
        for name in _FULL:
            chunks = _chunks(vector(name))
            starts = [i for i, c in enumerate(chunks) if c[0]]
            whole = image(2, (24 if "24k" in name else 130) * 1024)
            for start in starts:
                with self.subTest(name=name, start=start):
                    inflater = Inflater(4224, 12)
                    at = sum([c[1] for c in chunks[:start]])
                    for _, inflated, data in chunks[start : start + 2]:
                        _feed(inflater, data, inflated)
                        self.assertEqual(_read(inflater, inflated), whole[at : at + inflated])
                        at += inflated

    def test_chunk_that_is_no_restart_needs_the_one_before(self):
        inflater = Inflater(64, 10)
        _feed(inflater, _PARTS[1], len(_TEXTS[1]))
        try:
            self.assertNotEqual(_read(inflater, len(_TEXTS[1])), _TEXTS[1])
        except VerifyError as e:
            self.assertEqual(e.reason, "inflate")

    def test_stored_blocks_as_long_as_a_chunk(self):
        inflater = Inflater(4224, 9)
        for seed in range(3):
            data = noise(4096, seed)
            _feed(inflater, stored(data), 4096)
            self.assertEqual(_read(inflater, 4096, 333), data)

    def test_skip_reads_past(self):
        for length in (0, 1, 63, 64, 65, 119):
            with self.subTest(length=length):
                inflater = Inflater(64, 10)
                _feed(inflater, _PARTS[0], len(_TEXTS[0]))
                inflater.skip(length)
                rest = len(_TEXTS[0]) - length
                self.assertEqual(inflater.left, rest)
                self.assertEqual(_read(inflater, rest), _TEXTS[0][length:])
                _feed(inflater, _PARTS[1], len(_TEXTS[1]))
                self.assertEqual(_read(inflater, len(_TEXTS[1])), _TEXTS[1])

    def test_nothing_is_read_into_nothing(self):
        inflater = Inflater(64, 10)
        _feed(inflater, _PARTS[0], len(_TEXTS[0]))
        self.assertEqual(inflater.readinto(bytearray(0)), 0)
        self.assertEqual(_read(inflater, len(_TEXTS[0])), _TEXTS[0])

    def test_used_from_the_first_chunk_on(self):
        inflater = Inflater(64, 10)
        self.assertFalse(inflater.used)
        inflater.begin()
        self.assertTrue(inflater.used)

    def test_window_is_taken_at_the_start(self):
        inflater = Inflater(64, 15)
        _feed(inflater, _PARTS[0], len(_TEXTS[0]))
        out = bytearray(len(_TEXTS[0]))
        gc.collect()
        before = gc.mem_alloc() if hasattr(gc, "mem_alloc") else 0
        inflater.readinto(out)
        after = gc.mem_alloc() if hasattr(gc, "mem_alloc") else 0
        self.assertEqual(bytes(out), _TEXTS[0])
        # 32 KB of window are there already; CPython does not say what zlib takes
        self.assertLessEqual(after - before, 1024)


class TestRefusals(unittest.TestCase):
    def test_more_than_the_chunk_inflates_to(self):
        inflater = Inflater(64, 10)
        _feed(inflater, _PARTS[0], 10)
        e = _refused(self, inflater.readinto, bytearray(11))
        self.assertEqual(e.args, ("inflate", 11, 10))
        # Nothing was read: what it says is still there.
        self.assertEqual(_read(inflater, 10), _TEXTS[0][:10])
        _refused(self, inflater.readinto, bytearray(1))
        _refused(self, inflater.skip, 1)

    def test_before_the_first_chunk(self):
        _refused(self, Inflater(64, 10).readinto, bytearray(1))

    def test_chunk_that_says_more_than_it_holds(self):
        for n in range(3):
            with self.subTest(n=n):
                inflater = Inflater(64, 10)
                for k in range(n):
                    _feed(inflater, _PARTS[k], len(_TEXTS[k]))
                    _read(inflater, len(_TEXTS[k]))
                _feed(inflater, _PARTS[n], len(_TEXTS[n]) + 1)
                _refused(self, _read, inflater, len(_TEXTS[n]) + 1)

    def test_chunk_that_holds_more_than_it_says(self):
        # Left alone, the rest would be taken for the start of the next chunk.
        inflater = Inflater(4224, 10)
        _feed(inflater, stored(noise(300)), 256)
        _read(inflater, 256)
        _refused(self, inflater.begin)

    def test_broken_streams(self):
        for what, data in (
            ("reserved block type", b"\x07\x00\x00\x00\x00"),
            ("stored length without its complement", b"\x00\x05\x00\x05\x00hello\x00\x00"),
            ("empty", stored(b"")),
            ("the end at once", stored(b"", True)),
            ("end of the stream too early", stored(b"abc", True) + stored(b"defghijklm")),
            ("fixed codes that end early", unhexlify("63667f0000")),
        ):
            with self.subTest(what=what):
                inflater = Inflater(64, 10)
                _feed(inflater, data, 10)
                _refused(self, _read, inflater, 10)

    def test_every_truncation(self):
        whole = _PARTS[2]
        for n in range(1, len(whole) - 3):
            with self.subTest(n=n):
                inflater = Inflater(64, 10)
                _feed(inflater, whole[:n], len(_TEXTS[2]))
                _refused(self, _read, inflater, len(_TEXTS[2]))

    def test_stale_bytes_behind_a_short_chunk(self):
        # The buffer still holds the long chunk before: none of it may be taken for the
        # end of this one, though it would decode.
        whole = stored(b"x" * 200) + stored(b"y" * 200)
        for n in range(1, 200, 7):
            with self.subTest(n=n):
                inflater = Inflater(512, 10)
                _feed(inflater, whole, 400)
                self.assertEqual(_read(inflater, 400), b"x" * 200 + b"y" * 200)
                _feed(inflater, stored(b"z" * 200)[:n], 200)
                _refused(self, _read, inflater, 200)
