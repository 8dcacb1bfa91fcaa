import json
import struct
import unittest

import vector_files
from images import KEY, PRODUCT
from ota import package as fmt
from ota.crypto import Keys
from ota.delta import decoder
from ota.errors import ManifestError, OtaError, SignatureError, TransportError, VerifyError
from ota.package import chunks
from ota.package.inflate import Inflater
from ota.transport.stream import Memory
from packer import OTHER_KEY, Package, head, ident, noise, prefix, signatures, sized, stored

_KEYS = Keys([KEY])
_OLD, _NEW = noise(700, 1), noise(700, 2)
_REQUIRED = (fmt.PRODUCT, fmt.TARGET, fmt.VERSION, fmt.FLOOR, fmt.IMAGE, fmt.PAYLOAD)


class _Bytes:
    """A base image in RAM."""

    def __init__(self, data):
        self._data = data

    def read(self, offset, buf):
        buf[:] = self._data[offset : offset + len(buf)]


class _Slow:
    """A reader that gives one byte at a time and has nothing every other time."""

    def __init__(self, data):
        self._reader = Memory(data)
        self._turn = False

    def readinto(self, buf):
        self._turn = not self._turn
        return None if self._turn else self._reader.readinto(memoryview(buf)[:1])


def _refused(case, kind, word, call, *args):
    with case.assertRaises(kind) as cm:
        call(*args)
    case.assertEqual(cm.exception.reason, word)
    return cm.exception


def _check(data, keys=_KEYS):
    """Parse and check a header, as an install does."""
    h = fmt.parse(data)
    fmt.check(data, keys)
    return h


def _decode(data, base=b"", reader=None, got=None):
    """The image of a package, block by block; got collects the indices."""
    length, more = fmt.lengths(data)
    h = _check(data[: length + more])
    image = bytearray(h.image_size)
    out = memoryview(bytearray(h.block_size))
    walk = chunks.blocks(
        chunks.Chunks(h),
        reader or Memory(data, h.length),
        Inflater(4224, 12),
        decoder(h, _Bytes(base)),
        out,
    )
    for step in walk:
        if step is None:
            continue
        number, index, n = step
        image[index * h.block_size : index * h.block_size + n] = out[:n]
        if got is not None:
            got.append(index)
    return bytes(image)


def _package(old=None, **options):
    return Package(_NEW, old, block=256, **options)


class TestHeader(unittest.TestCase):
    def test_every_field_is_read(self):
        p = _package(_OLD, floor=7, target="fonts", version="1.22.333.4444")
        p.set(fmt.MPY, b"\x06\0")
        p.set(fmt.BASE_VERSION, b"1.0")
        p.set(fmt.SEQUENCE, b"\x09\0\0\0")
        p.set(fmt.REVERSE, struct.pack("<I32s", 99, b"r" * 32))
        data = p.data()
        length, more = fmt.lengths(data[:12])
        h = _check(data[: length + more])
        self.assertEqual((h.product, h.target, h.version), (PRODUCT, "fonts", "1.22.333.4444"))
        self.assertEqual((h.floor, h.mpy, h.base_version, h.sequence), (7, 6, "1.0", 9))
        self.assertEqual((h.image_size, h.base_size), (700, 700))
        self.assertEqual((h.reverse_size, h.reverse_digest), (99, b"r" * 32))
        self.assertEqual((h.encoding, h.wbits, h.block_size, h.ordered), (1, 10, 256, False))
        self.assertEqual((h.length, h.size), (length + more, len(data)))
        self.assertEqual(h.image_digest, sized(_NEW)[4:])
        self.assertEqual(h.base_digest, sized(_OLD)[4:])

    def test_every_truncation_is_refused(self):
        data = _package().head()
        for n in range(len(data)):
            with self.assertRaises(ManifestError) as cm:
                fmt.parse(data[:n])
            self.assertIn(cm.exception.reason, ("header", "size"), n)
        for more in (b"\0", data):
            _refused(self, ManifestError, "size", fmt.parse, data + more)

    def test_every_flipped_bit_is_refused(self):
        for p in (_package(), _package(_OLD)):
            data = bytearray(p.head())
            _check(data)
            for bit in range(len(data) * 8):
                data[bit // 8] ^= 1 << bit % 8
                try:
                    _check(data)
                    self.assertTrue(False, bit)
                except (ManifestError, SignatureError):
                    pass
                data[bit // 8] ^= 1 << bit % 8
            _check(data)

    def test_wrong_magic_format_and_zeros(self):
        data = bytearray(_package().head())
        for at, value, word in (
            (0, 0x6F, "header"), (3, 0, "header"), (4, 0, "format"), (4, 2, "format"),
            (5, 1, "format"), (10, 1, "format"), (11, 1, "format"),
        ):  # fmt: skip
            with self.subTest(at=at, value=value):
                bad = bytearray(data)
                bad[at] = value
                _refused(self, ManifestError, word, fmt.lengths, bad[:12])
                _refused(self, ManifestError, word, fmt.parse, bad)

    def test_size_limits(self):
        for length, more, good in (
            (13, 0, True), (1024, 2048, True), (12, 0, False), (0, 0, False), (1025, 0, False),
            (0xFFFF, 0, False), (100, 2049, False), (100, 0xFFFF, False),
        ):  # fmt: skip
            with self.subTest(length=length, more=more):
                if good:
                    self.assertEqual(fmt.lengths(prefix(length, more)), (length, more))
                else:
                    _refused(self, ManifestError, "size", fmt.lengths, prefix(length, more))
        p = _package()
        short = fmt.lengths(p.head())[0]
        p.set(0x0100, bytes(1024 - short - 4))
        self.assertEqual(fmt.lengths(p.head())[0], 1024)
        _check(p.head())
        p.set(0x0100, bytes(1024 - short - 3))
        _refused(self, ManifestError, "size", fmt.parse, p.head())

    def test_each_required_field_is_missed(self):
        for kind in _REQUIRED:
            with self.subTest(kind=hex(kind)):
                p = _package()
                full = fmt.parse(p.head())
                values = [(k, v or _payload(p)) for k, v in p.fields if k != kind]
                e = _refused(self, ManifestError, "field", fmt.parse, head(values))
                self.assertEqual(e.args[1], kind)
                self.assertEqual(full.version, "0.2")

    def test_each_field_twice_is_refused(self):
        p = _package(_OLD)
        p.set(fmt.MPY, b"\x06\0")
        p.set(fmt.BASE_VERSION, b"1.0")
        p.set(fmt.SEQUENCE, bytes(4))
        p.set(fmt.REVERSE, bytes(36))
        p.set(0x0100, b"unknown, optional")
        values = [(k, v or _payload(p)) for k, v in p.fields]
        fmt.parse(head(values))
        for kind, value in values:
            with self.subTest(kind=hex(kind)):
                bad = head(values + [(kind, value)])
                e = _refused(self, ManifestError, "field", fmt.parse, bad)
                self.assertEqual(e.args[1], kind)

    def test_unknown_fields(self):
        for kind in (0x0004, 0x00FF, 0x7FFF):
            with self.subTest(kind=hex(kind)):
                p = _package()
                p.set(kind, b"from a later version")
                self.assertEqual(_decode(p.data()), _NEW)
        # 0x8009 is encryption: this version cannot decrypt
        for kind in (0x8000, 0x8009, 0xFFFF):
            with self.subTest(kind=hex(kind)):
                p = _package()
                p.set(kind, b"must be understood")
                e = _refused(self, ManifestError, "critical", fmt.parse, p.head())
                self.assertEqual(e.args[1], kind)

    def test_wrong_values_of_fields(self):
        sized = struct.pack("<I32s", 0, bytes(32))
        for kind, value in (
            (fmt.PRODUCT, b""), (fmt.PRODUCT, b"a" * 33), (fmt.PRODUCT, b"a b"),
            (fmt.PRODUCT, b"caf\xc3\xa9"), (fmt.PRODUCT, b"a\0"), (fmt.TARGET, b""),
            (fmt.TARGET, b"a\x7f"), (fmt.VERSION, b"1."), (fmt.VERSION, b"a"),
            (fmt.VERSION, b"1.2.3.4.5"), (fmt.VERSION, b"123456"), (fmt.VERSION, b"-1"),
            (fmt.VERSION, b"1.0b1"), (fmt.VERSION, b"12345.12345.1234"), (fmt.VERSION, b"+1"),
            (fmt.FLOOR, b""), (fmt.FLOOR, bytes(3)), (fmt.FLOOR, bytes(5)), (fmt.IMAGE, sized),
            (fmt.IMAGE, bytes(35)), (fmt.IMAGE, bytes(37)), (fmt.BASE, sized),
            (fmt.BASE, bytes(4)), (fmt.MPY, b"\x06"), (fmt.BASE_VERSION, b""),
            (fmt.SEQUENCE, bytes(8)), (fmt.REVERSE, bytes(32)), (fmt.PAYLOAD, bytes(27)),
            (fmt.PAYLOAD, bytes(28)), (fmt.PAYLOAD, bytes(29)),
        ):  # fmt: skip
            with self.subTest(kind=hex(kind), value=value):
                p = _package(_OLD)
                p.set(kind, value)
                e = _refused(self, ManifestError, "field", fmt.parse, p.head())
                self.assertIn(e.args[1], (kind, fmt.VERSION))

    def test_base_goes_with_a_patch_only(self):
        p = _package()
        p.set(fmt.BASE, struct.pack("<I32s", 1, bytes(32)))
        e = _refused(self, ManifestError, "field", fmt.parse, p.head())
        self.assertEqual(e.args[1], fmt.BASE)
        p = _package(_OLD)
        p.fields = [f for f in p.fields if f[0] != fmt.BASE]
        e = _refused(self, ManifestError, "field", fmt.parse, p.head())
        self.assertEqual(e.args[1], fmt.BASE)

    def test_numbers_of_the_payload(self):
        for name, value, good in (
            ("encoding", 2, False), ("encoding", 255, False), ("wbits", 8, False),
            ("wbits", 9, True), ("wbits", 15, True), ("wbits", 16, False), ("log2", 7, False),
            ("log2", 12, True), ("log2", 13, False), ("log2", 40, False), ("log2", 255, False),
            ("flags", 1, False), ("flags", 2, False), ("flags", 255, False),
            ("chunk_max", 31, False), ("chunk_max", 4224, True), ("chunk_max", 4225, False),
            ("meta_max", 4096, True), ("meta_max", 4097, False), ("payload_size", 0, False),
        ):  # fmt: skip
            with self.subTest(name=name, value=value):
                p = _package()
                setattr(p, name, value)
                if good:
                    fmt.parse(p.head())
                else:
                    e = _refused(self, ManifestError, "field", fmt.parse, p.head())
                    self.assertEqual(e.args[1], fmt.PAYLOAD)

    def test_numbers_of_pointers(self):
        for values, good in (
            ((1, 0, 0, 0, 0), True), ((1, 512, 0x08020000, 0x20000000, 0x7FFFFFFF), True),
            ((0, 1, 0, 0, 0), False), ((4, 1, 0, 0, 0), False), ((1, 513, 0, 0, 0), False),
            ((1, 1, 0, 9, 8), False), ((1, 1, 0, 0, 0x80000000), False),
            ((1, 1, 0x7FFFFFFF - len(_OLD), 0, 0), True),
            ((1, 1, 0x80000000 - len(_OLD), 0, 0), False),
        ):  # fmt: skip
            with self.subTest(values=values):
                p = _package(_OLD)
                p.set(fmt.POINTERS, struct.pack("<BxHIII", *values))
                if good:
                    self.assertEqual(fmt.parse(p.head()).pointers, values)
                else:
                    e = _refused(self, ManifestError, "field", fmt.parse, p.head())
                    self.assertEqual(e.args[1], fmt.POINTERS)

    def test_pointers_of_a_patch_only_and_longer_chunks_with_them_only(self):
        value = struct.pack("<BxHIII", 1, 1, 0, 0, 0)
        p = _package()
        p.set(fmt.POINTERS, value)
        e = _refused(self, ManifestError, "field", fmt.parse, p.head())
        self.assertEqual(e.args[1], fmt.POINTERS)
        for most, good in ((8324, True), (8325, False)):
            p = _package(_OLD)
            p.set(fmt.POINTERS, value)
            p.chunk_max = most
            if good:
                self.assertEqual(fmt.parse(p.head()).chunk_max, most)
            else:
                _refused(self, ManifestError, "field", fmt.parse, p.head())

    def test_field_that_runs_past_the_header(self):
        good = [(k, v or _payload(_package())) for k, v in _package().fields]
        body = b"".join([struct.pack("<HH", k, len(v)) + v for k, v in good])
        for tail in (b"\x01", b"\x01\0\x05", b"\x01\0\x05\0", b"\x01\0\x05\0abcd"):
            with self.subTest(tail=tail):
                signed = prefix(12 + len(body) + len(tail), 42) + body + tail
                bad = signed + signatures(signed)
                fmt.check(bad, _KEYS)
                _refused(self, ManifestError, "field", fmt.parse, bad)


def _payload(p):
    """The payload field of a package, as it would be written."""
    data = p.head()
    at = data.find(struct.pack("<HH", fmt.PAYLOAD, 28))
    return data[at + 4 : at + 32]


class TestSignatures(unittest.TestCase):
    def test_not_signed_at_all(self):
        data = _package(keys=()).head()
        fmt.parse(data)
        _refused(self, SignatureError, "key", fmt.check, data, _KEYS)

    def test_unknown_key(self):
        data = _package(keys=(OTHER_KEY,)).head()
        _refused(self, SignatureError, "key", fmt.check, data, _KEYS)
        _refused(self, SignatureError, "key", fmt.check, data, Keys([]))

    def test_key_that_claims_our_id(self):
        data = bytearray(_package(keys=(OTHER_KEY,)).head())
        data[-42:-34] = ident(KEY)
        _refused(self, SignatureError, "signature", fmt.check, data, _KEYS)

    def test_rotation(self):
        both = _package(keys=(KEY, OTHER_KEY)).head()
        for trusted in ([KEY], [OTHER_KEY], [KEY, OTHER_KEY]):
            fmt.check(both, Keys(trusted))
        # Devices that have the new key alone refuse what the old one signed.
        old = _package(keys=(KEY,)).head()
        _refused(self, SignatureError, "key", fmt.check, old, Keys([OTHER_KEY]))

    def test_first_trusted_signature_must_fit(self):
        good = _package(keys=(KEY, OTHER_KEY)).head()
        bad = bytearray(good)
        bad[len(bad) - 84 + 10] ^= 1
        _refused(self, SignatureError, "signature", fmt.check, bad, Keys([KEY, OTHER_KEY]))
        # Who does not trust the broken one does not look at it.
        fmt.check(bad, Keys([OTHER_KEY]))

    def test_signature_of_another_package(self):
        one, two = _package().head(), _package(floor=1).head()
        _refused(self, SignatureError, "signature", fmt.check, one[:-42] + two[-42:], _KEYS)

    def test_lengths_of_signatures_that_do_not_fit(self):
        data = _package().head()
        length = fmt.lengths(data)[0]
        for tail, word in (
            (b"", "key"), (ident(), "key"), (ident() + b"\x20\0", "key"),
            (ident() + b"\xff\xff" + bytes(32), "key"), (ident() + b"\0\0", "signature"),
            (ident() + b"\x1f\0" + data[-32:-1], "signature"),
        ):  # fmt: skip
            with self.subTest(tail=tail):
                bad = prefix(length, len(tail)) + data[12:length] + tail
                fmt.parse(bad)
                _refused(self, SignatureError, word, fmt.check, bad, _KEYS)

    def test_signatures_that_fill_the_room(self):
        # 48 unknown signers and then ours: all are passed over
        p = _package()
        p.keys = [{"secret": "%02x" % n * 16} for n in range(47)] + [KEY]
        self.assertEqual(fmt.lengths(p.head())[1], 48 * 42)
        _check(p.head())
        p.keys = [{"secret": "%02x" % n * 16} for n in range(48)] + [KEY]
        _refused(self, ManifestError, "size", fmt.parse, p.head())

    def test_rsa_and_hmac_on_one_package(self):
        data = vector_files.load("signed/package.ota")
        public = json.loads(vector_files.load("signed/rsa.pub.json").decode())
        length, more = fmt.lengths(data)
        start = data[: length + more]
        for trusted in ([public], [KEY], [KEY, public]):
            fmt.check(start, Keys(trusted))
        _refused(self, SignatureError, "key", fmt.check, start, Keys([OTHER_KEY]))
        for at in (0, 4, 20, length - 1, length + 10, length + 10 + 383):
            with self.subTest(at=at):
                bad = bytearray(start)
                bad[at] ^= 0x10
                try:
                    _check(bad, Keys([public]))
                    self.assertTrue(False, "accepted")
                except (ManifestError, SignatureError):
                    pass
        # The algorithm belongs to the key: an HMAC under the public modulus is no signature.
        bad = start[:length] + public_as_secret(start[:length], public)
        bad = prefix(length, len(bad) - length) + bad[12:]
        _refused(self, SignatureError, "signature", fmt.check, bad, Keys([public]))


def public_as_secret(signed, public):
    """A signature entry with the RSA key's id that is an HMAC keyed with its modulus."""
    forged = signatures(signed, ({"secret": public["n"]},))
    return bytes.fromhex(public["id"]) + forged[8:]


class TestVersion(unittest.TestCase):
    def test_compares_as_numbers(self):
        for low, high in (("1.9.0", "1.10.0"), ("0.9", "0.10"), ("1", "1.0"), ("9", "10")):
            with self.subTest(low=low, high=high):
                self.assertTrue(fmt.version(low) < fmt.version(high))

    def test_forms(self):
        for text, value in (("0", (0,)), ("1.2.3.4", (1, 2, 3, 4)), ("00012.1", (12, 1))):
            self.assertEqual(fmt.version(text), value)
        for text in ("", ".", "1..2", " 1", "1 ", "1,2", "0x1", "1e3", "\u0661", "\u00b2", "1\n"):
            with self.subTest(text=text):
                _refused(self, ManifestError, "field", fmt.version, text)


class TestChunks(unittest.TestCase):
    def test_good_ones(self):
        for old in (None, _OLD, _NEW[:256] + _OLD[256:]):
            for per in (1, 2, 3):
                for restart in (1, 2, 9):
                    data = _package(old, per=per, restart=restart).data()
                    self.assertEqual(_decode(data, old or b""), _NEW)

    def test_reader_that_gives_little(self):
        data = _package().data()
        start = sum(fmt.lengths(data))
        self.assertEqual(_decode(data, reader=_Slow(data[start:])), _NEW)

    def test_every_flipped_bit_is_refused_before_it_is_inflated(self):
        p = Package(_NEW[:300], None, block=256)
        data = bytearray(p.data())
        start = sum(fmt.lengths(data))
        second = start + 28 + len(p.chunks[0].stored)
        self.assertEqual(_decode(data), _NEW[:300])
        for bit in range(start * 8, len(data) * 8):
            got = []
            data[bit // 8] ^= 1 << bit % 8
            try:
                _decode(data, got=got)
                self.assertTrue(False, bit)
            except (VerifyError, TransportError) as e:
                self.assertIn(e.reason, ("chain", "chunk", "short"), bit)
            self.assertEqual(got, [0] if bit // 8 >= second else [], bit)
            data[bit // 8] ^= 1 << bit % 8

    def test_truncation_at_every_byte(self):
        data = Package(_NEW[:300], None, block=256).data()
        start = sum(fmt.lengths(data))
        for n in range(start, len(data)):
            _refused(self, TransportError, "short", _decode, data[:n])

    def test_chunks_in_another_order(self):
        p = _package()
        data = p.data()
        start = sum(fmt.lengths(data))
        parts = p.payload()[0]
        for order in ((1, 0, 2), (0, 2, 1), (1, 2), (0, 0, 1, 2), (2,)):
            with self.subTest(order=order):
                bad = data[:start] + b"".join([parts[i] for i in order])
                with self.assertRaises(VerifyError) as cm:
                    _decode(bad)
                self.assertIn(cm.exception.reason, ("chain", "chunk"))

    def test_chunk_of_another_package(self):
        one, two = _package(), Package(_OLD, None, block=256)
        data, parts = one.data(), one.payload()[0]
        start = sum(fmt.lengths(data))
        for i in range(3):
            mixed = parts[:i] + [two.payload()[0][i]] + parts[i + 1 :]
            _refused(self, VerifyError, "chain", _decode, data[:start] + b"".join(mixed))


def _swap(p):
    p.chunks[0], p.chunks[1] = p.chunks[1], p.chunks[0]


def _shift(p, by):
    for c in p.chunks:
        c.first += by


def _beyond(p):
    """A chunk in the midst says that it goes on behind the payload; there is room for it."""
    p.chunk_max = 4000
    p.chunks[1].length = 3000


# What is wrong in a package whose chain and signature are right, and the word it gets.
_WILD = (
    ("stored length 0", "chunk", lambda p: setattr(p.chunks[0], "stored", b"")),
    ("stored length too long", "chunk", lambda p: setattr(p.chunks[2], "length", 4000)),
    ("stored length 65535", "chunk", lambda p: setattr(p.chunks[0], "length", 0xFFFF)),
    ("stored length too short", "chain", lambda p: setattr(p.chunks[0], "length", 100)),
    ("longer than the longest chunk", "chunk", lambda p: setattr(p, "chunk_max", 100)),
    ("longer than what is left", "chunk", _beyond),
    ("unknown flag", "chunk", lambda p: setattr(p.chunks[1], "flags", 2)),
    ("all flags", "chunk", lambda p: setattr(p.chunks[0], "flags", 255)),
    ("no blocks", "chunk", lambda p: setattr(p.chunks[1], "blocks", 0)),
    ("more blocks than the image has", "chunk", lambda p: setattr(p.chunks[1], "blocks", 3)),
    ("255 blocks", "chunk", lambda p: setattr(p.chunks[0], "blocks", 255)),
    ("one block too many", "inflate", lambda p: setattr(p.chunks[0], "blocks", 2)),
    ("inflates to nothing", "chunk", lambda p: setattr(p.chunks[1], "inflated", 0)),
    ("inflated length too short", "inflate", lambda p: setattr(p.chunks[0], "inflated", 255)),
    ("inflated length too long", "chunk", lambda p: setattr(p.chunks[0], "inflated", 257)),
    ("inflated length 2^32-1", "chunk", lambda p: setattr(p.chunks[0], "inflated", 0xFFFFFFFF)),
    ("begins at block 1", "chunk", lambda p: _shift(p, 1)),
    ("first block in the middle wrong", "chunk", lambda p: setattr(p.chunks[1], "first", 0)),
    ("first block beyond the image", "chunk", lambda p: setattr(p.chunks[1], "first", 9)),
    ("first block 2^32-1", "chunk", lambda p: setattr(p.chunks[0], "first", 0xFFFFFFFF)),
    ("swapped", "chunk", _swap),
    ("first chunk is missing", "chunk", lambda p: p.chunks.pop(0)),
    ("middle chunk is missing", "chunk", lambda p: p.chunks.pop(1)),
    ("last chunk is missing", "chunk", lambda p: p.chunks.pop(2)),
    ("a chunk twice", "chunk", lambda p: p.chunks.insert(1, p.chunks[0])),
    ("no restart at the start", "chunk", lambda p: setattr(p.chunks[0], "flags", 0)),
    ("ends too early", "chunk", lambda p: setattr(p.chunks[1], "following", bytes(16))),
    ("does not end", "chunk", lambda p: setattr(p.chunks[2], "following", b"x" * 16)),
    ("payload longer than its chunks", "chunk", lambda p: setattr(p, "payload_size", 2000)),
    ("payload shorter than its chunks", "chunk", lambda p: setattr(p, "payload_size", 850)),
    ("first digest wrong", "chain", lambda p: setattr(p, "first", b"x" * 16)),
)
# Deflate streams that are not what the chunk says; each is the body of a 256-byte chunk.
_BROKEN = (
    ("ends early", stored(_NEW[:100])),
    ("runs past its chunk", b"\0\0\x01\xff\xfe" + _NEW[:150]),
    ("ends with the stream", stored(_NEW[:100], True)),
    ("reserved block type", b"\x07" + _NEW[:100]),
    ("stored length without its complement", b"\0\0\x01\0\0" + _NEW[:256]),
    ("nothing but a flush", stored(b"")),
)


class TestWild(unittest.TestCase):
    def test_signed_and_chained_but_wrong(self):
        for restart in (1, 9):
            for what, word, change in _WILD:
                with self.subTest(what=what, restart=restart):
                    p = _package(restart=restart)
                    change(p)
                    if what == "payload longer than its chunks":
                        # not the end of the payload, so not the last chunk
                        _refused(self, VerifyError, word, _decode, p.data() + bytes(2000))
                    _refused(self, VerifyError, word, _decode, p.data())

    def test_broken_streams(self):
        for place in range(3):
            for what, body in _BROKEN:
                with self.subTest(what=what, place=place):
                    p = _package()
                    p.chunks[place].stored = body
                    _refused(self, VerifyError, "inflate", _decode, p.data())

    def test_stream_with_more_than_its_blocks(self):
        # What is too much is never read; the blocks are right, and so is the image.
        p = _package(per=3)
        p.chunks[0].stored = stored(_NEW + b"more", True)
        self.assertEqual(_decode(p.data()), _NEW)

    def test_missing_blocks_behind_a_restart(self):
        p = Package(noise(256 * 6), None, block=256, restart=1)
        del p.chunks[2]
        _refused(self, VerifyError, "chunk", _decode, p.data())

    def test_patch_out_of_bounds(self):
        # control, gaps, values; then control bytes and literals (docs/format-delta.md)
        for what, body in (
            ("metadata longer than promised", b"\x0a\0\0" + bytes(10)),
            ("65535 three times", b"\xff\xff\x03" * 3),
            ("lengths that do not end", b"\xff" * 16),
            ("copy from before the base", b"\x02\0\0\x02\x01"),
            ("copy from behind the base", b"\x03\0\0\x02\xfe\x0f"),
            ("copy longer than the block", b"\x02\0\0\x85\x08"),
            ("number that does not end", b"\x06\0\0\xff\xff\xff\xff\xff\xff"),
            ("control that goes on", b"\x02\0\0\x01\x01"),
            ("a gap without a value", b"\0\x01\0\0"),
        ):
            with self.subTest(what=what):
                p = _package(_OLD)
                p.meta_max = 8
                p.chunks[0].stored = stored(body)
                p.chunks[0].inflated = len(body)
                e = _refused(self, VerifyError, "patch", _decode, p.data(), _OLD)
                self.assertIsInstance(e, OtaError)
