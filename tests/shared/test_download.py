import os
import unittest
from binascii import hexlify

from fakenet import Net, Stream, finish
from ota.compat import random_bytes
from ota.errors import TransportError
from ota.transport import download

# Where files may be left for a moment; some builds have no environment.
FOLDER = (hasattr(os, "getenv") and os.getenv("TMPDIR")) or "/tmp"
DATA = bytes(range(256)) * 10
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 2560\r\n\r\n"
MISSING = b"HTTP/1.1 404 Not Found\r\n\r\n"


class Sink:
    def __init__(self):
        self.data = b""

    def write(self, data):
        self.data += bytes(data)


class TestDownload(unittest.TestCase):
    # Another interpreter may play this file at the same time.
    path = FOLDER + "/test_download." + hexlify(random_bytes(4)).decode()

    def tearDown(self):
        for name in (self.path, self.path + ".part"):
            try:
                os.remove(name)
            except OSError:
                pass

    def steps(self, file, *streams):
        self.net = Net(*streams)
        clock = self.net.clock
        options = {"connect": self.net.connect, "clock": clock, "sleep": clock.sleep}
        return download.fetch("http://host/f", file, options)

    def test_an_object_with_write_gets_the_bytes(self):
        sink = Sink()
        self.assertEqual(finish(self.steps(sink, HEAD + DATA)), len(DATA))
        self.assertEqual(sink.data, DATA)
        self.assertEqual(self.net.left_open(), 0)

    def test_progress_is_told(self):
        steps = list(self.steps(Sink(), Stream([HEAD, None, None, DATA])))
        self.assertIn(None, steps)
        self.assertEqual(steps[-1], ("stream", len(DATA), len(DATA)))

    def test_a_path_is_replaced_by_the_whole_file(self):
        for before in (None, b"old"):
            if before:
                with open(self.path, "wb") as f:
                    f.write(before)
            self.assertEqual(finish(self.steps(self.path, HEAD + DATA)), len(DATA))
            with open(self.path, "rb") as f:
                self.assertEqual(f.read(), DATA)
            self.assertFalse("test_download.tmp.part" in os.listdir(FOLDER))

    def test_a_failed_download_leaves_the_file_as_it_was(self):
        with open(self.path, "wb") as f:
            f.write(b"old")
        with self.assertRaises(TransportError):
            finish(self.steps(self.path, HEAD + DATA[:100], MISSING))
        with open(self.path, "rb") as f:
            self.assertEqual(f.read(), b"old")
        self.assertEqual(self.net.left_open(), 0)
