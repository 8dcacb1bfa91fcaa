import errno
import io
import unittest

from ota.errors import TransportError
from ota.transport.stream import opener

DATA = bytes(i * 7 & 0xFF for i in range(2000))


class Reads:
    """A source with read() only; None before every piece, pieces of at most 100 bytes."""

    def __init__(self, data):
        self._file = io.BytesIO(data)
        self._wait = True

    def read(self, n):
        self._wait = not self._wait
        return self._file.read(min(n, 100)) if self._wait else None


class Fails:
    """A source that raises."""

    def __init__(self, *errnos):
        self._errnos = list(errnos)

    def readinto(self, buf):
        raise OSError(self._errnos.pop(0), "")


def run(generator):
    """(result, how often it waited) of a generator."""
    waits = 0
    while True:
        try:
            next(generator)
            waits += 1
        except StopIteration as e:
            return e.value, waits


def rest(reader):
    got = b""
    buf = bytearray(333)
    while True:
        n = reader.readinto(memoryview(buf))
        if n == 0:
            return got
        if n:
            got += bytes(buf[:n])


class Stream(unittest.TestCase):
    def test_reads_from_the_beginning(self):
        for source in (io.BytesIO(DATA), Reads(DATA)):
            reader, _ = run(opener(source)(0))
            self.assertEqual(rest(reader), DATA)

    def test_stands_at_the_offset(self):
        for offset in (1, 255, 256, 257, 1999, 2000):
            for source in (io.BytesIO(DATA), Reads(DATA)):
                with self.subTest(offset):
                    reader, _ = run(opener(source)(offset))
                    self.assertEqual(rest(reader), DATA[offset:])

    def test_goes_on_where_the_last_reader_stopped(self):
        open_at = opener(io.BytesIO(DATA))
        reader, _ = run(open_at(0))
        buf = bytearray(10)
        reader.readinto(buf)
        reader.close()
        for at in (10, 700):
            reader, _ = run(open_at(at))
            self.assertEqual(reader.readinto(buf), 10)
            self.assertEqual(bytes(buf), DATA[at : at + 10])

    def test_waits_for_a_source_that_has_nothing_yet(self):
        reader, waits = run(opener(Reads(DATA))(500))
        self.assertEqual(waits, 5)

    def test_cannot_go_back(self):
        open_at = opener(io.BytesIO(DATA))
        run(open_at(20))
        with self.assertRaises(TransportError) as caught:
            run(open_at(19))
        self.assertEqual(caught.exception.reason, "range")

    def test_offset_behind_the_end(self):
        with self.assertRaises(TransportError) as caught:
            run(opener(io.BytesIO(DATA))(2001))
        self.assertEqual(caught.exception.reason, "short")

    def test_a_failing_source(self):
        reader, _ = run(opener(Fails(errno.EAGAIN, errno.EIO))(0))
        self.assertIsNone(reader.readinto(bytearray(4)))
        with self.assertRaises(TransportError) as caught:
            reader.readinto(bytearray(4))
        self.assertEqual(caught.exception.reason, "reset")

    def test_what_is_no_reader(self):
        with self.assertRaises(TypeError):
            opener(b"bytes")


if __name__ == "__main__":
    unittest.main()
