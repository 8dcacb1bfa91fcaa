"""Packages of earlier versions open for ever (tests/vectors/README.md, golden)."""

import hashlib
import unittest
from binascii import hexlify

import vector_files
from images import KEY
from ota import package as fmt
from ota.crypto import Keys
from ota.delta import decoder
from ota.errors import VerifyError
from ota.package import chunks
from ota.package.inflate import Inflater
from ota.transport.stream import Memory

_FOLDER = "golden/"


class _Flash:
    """Bytes that a decoder reads."""

    def __init__(self, size):
        self.data = bytearray(size)

    def read(self, offset, buf):
        if offset < 0 or offset + len(buf) > len(self.data):
            raise ValueError("outside")
        buf[:] = self.data[offset : offset + len(buf)]


def _digest(data):
    return hexlify(hashlib.sha256(data).digest()).decode()


def _open(data, old):
    """(header, image that the package makes of old), as a device does it."""
    length, signatures = fmt.lengths(data)
    head = data[: length + signatures]
    fmt.check(head, Keys([KEY]))
    h = fmt.parse(head)
    size = (max(h.image_size, len(old)) + h.block_size - 1) // h.block_size * h.block_size
    base = _Flash(size)
    base.data[: len(old)] = old
    image = base if h.ordered else _Flash(size)
    done = bytearray((h.image_size // h.block_size + 8) // 8) if h.ordered else None
    store = _Flash(h.stash[0]) if h.stash else None
    decode = decoder(h, base, done, store)
    out = memoryview(bytearray(h.block_size))
    walk = chunks.blocks(
        chunks.Chunks(h),
        Memory(data[h.length : h.size]),
        Inflater(h.chunk_max, h.wbits),
        decode,
        out,
    )
    for step, index, n in walk:
        if h.stash and not step:
            # Nothing is overwritten before the stash is whole.
            pieces = list(decode.stash.pieces(base, memoryview(store.data)))
            assert pieces == [h.stash[0]]
        at = index * h.block_size
        image.data[at : at + n] = out[:n]
    return h, bytes(image.data[: h.image_size])


class TestGolden(unittest.TestCase):
    def setUp(self):
        self.rows = vector_files.load_json(_FOLDER + "list.json")

    def test_every_package_opens(self):
        self.assertTrue(len(self.rows) >= 26)
        for row in self.rows:
            with self.subTest(name=row["name"]):
                data = vector_files.load(_FOLDER + row["name"] + ".ota")
                self.assertEqual(_digest(data), row["sha256"])
                old = b""
                if "old" in row:
                    old = vector_files.load(_FOLDER + row["old"])
                    self.assertEqual(_digest(old), row["base"])
                h, new = _open(data, old)
                self.assertEqual(_digest(new), row["image"])
                if h.reverse_size:
                    back = data[h.size :]
                    self.assertEqual(len(back), h.reverse_size)
                    self.assertEqual(_open(back, new)[1], old)

    def test_one_that_was_changed_does_not(self):
        row = self.rows[0]
        data = bytearray(vector_files.load(_FOLDER + row["name"] + ".ota"))
        data[-1] ^= 1
        with self.assertRaises(VerifyError):
            _open(bytes(data), vector_files.load(_FOLDER + row["old"]))


if __name__ == "__main__":
    unittest.main()
