"""Downloads that survive drops, against scripted connections."""

import unittest

from fakenet import Net, Stream, finish, read_all
from ota.errors import TransportError
from ota.transport.resume import Resuming

DATA = bytes(range(256)) * 4
RESET = TransportError("reset", 104)


def whole(data=DATA, sent=None, etag=b'"x"', length=True):
    head = b"HTTP/1.1 200 OK\r\nETag: " + etag + b"\r\n"
    if length:
        head += b"Content-Length: %d\r\n" % len(data)
    return Stream([head + b"\r\n" + data[: len(data) if sent is None else sent]])


def part(start, end=None, etag=b'"x"', sent=None, total=len(DATA)):
    end = len(DATA) if end is None else end
    head = b"HTTP/1.1 206 P\r\nETag: " + etag + b"\r\n"
    head += b"Content-Range: bytes %d-%d/%d\r\n\r\n" % (start, end - 1, total)
    return Stream([head + DATA[start : end if sent is None else start + sent]])


class TestResume(unittest.TestCase):
    def open(self, *streams, **arguments):
        self.net = Net(*streams)
        offset = arguments.pop("offset", 0)
        self.source = Resuming(
            arguments.pop("url", "http://host/f"),
            rand=lambda n: bytes(n),
            sleep=self.net.clock.sleep,
            clock=self.net.clock,
            connect=self.net.connect,
            **arguments,
        )
        return finish(self.source.open(offset))

    def fetch(self, *streams, **arguments):
        return read_all(self.open(*streams, **arguments), 100)

    def refused(self, *streams, **arguments):
        with self.assertRaises(TransportError) as caught:
            self.fetch(*streams, **arguments)
        self.assertEqual(self.net.left_open(), 0)
        return caught.exception.args

    def ranges(self):
        return [
            self.net.request(i)[1].get("Range", "-").replace("bytes=", "")
            for i in range(len(self.net.opened))
        ]

    def test_without_faults_one_request_is_enough(self):
        r = self.open(whole())
        self.assertEqual((r.offset, r.length, r.etag), (0, len(DATA), '"x"'))
        self.assertEqual(read_all(r, 100), DATA)
        self.assertEqual(r.readinto(bytearray(1)), 0)
        self.assertEqual((self.ranges(), self.net.left_open()), (["-"], 0))

    def test_a_later_start_is_a_range(self):
        r = self.open(part(1000), offset=1000)
        self.assertEqual(r.length, 24)
        self.assertEqual(read_all(r), DATA[1000:])

    def test_a_drop_is_resumed_where_it_was(self):
        for cut in (0, 1, 99, 100, 101, 500, len(DATA) - 1):
            for end in ([], [RESET]):
                with self.subTest(cut=cut, end=end):
                    first = whole(sent=cut)
                    first.pieces += end
                    second = part(cut) if cut else whole()
                    self.assertEqual(self.fetch(first, second), DATA)
                    self.assertEqual(self.ranges(), ["-", "%d-" % cut if cut else "-"])
                    if cut:
                        self.assertEqual(self.net.request(1)[1]["If-Range"], '"x"')

    def test_a_drop_before_the_body_is_tried_again(self):
        for bad in ([], [RESET], [b"HTTP/1.1 200 OK\r\nCon"], [b"HTT", RESET], [...]):
            with self.subTest(bad):
                self.assertEqual(self.fetch(Stream(bad), whole()), DATA)
                self.assertGreaterEqual(self.net.clock.now, 1000)

    def test_failures_to_connect_are_tried_again(self):
        for word in ("connect", "dns", "timeout"):
            self.assertEqual(self.fetch(TransportError(word, 1), whole()), DATA)

    def test_a_server_that_asks_for_patience_gets_it(self):
        busy = b"HTTP/1.1 503 Busy\r\nRetry-After: 30\r\n\r\n"
        self.assertEqual(self.fetch(busy, whole()), DATA)
        self.assertGreaterEqual(self.net.clock.now, 30000)
        for status in (b"408", b"429", b"500", b"502", b"504"):
            self.assertEqual(self.fetch(b"HTTP/1.1 " + status + b"\r\n\r\n", whole()), DATA)

    def test_pauses_double_and_have_an_end(self):
        args = self.refused(retries=4)
        self.assertEqual(args, ("connect", 111))
        self.assertEqual(len(self.net.asked), 5)
        self.assertEqual(self.net.clock.now, 1000 + 2000 + 4000 + 8000)
        source = Resuming("http://h/", rand=lambda n: b"\xff")
        error = TransportError("reset")
        self.assertEqual(
            [source.patience.pause(n, error) for n in (1, 7, 99)], [502, 30118, 30118]
        )

    def test_a_name_that_does_not_exist_is_given_up_early(self):
        error = TransportError("dns", "name", OSError(-2))
        self.assertEqual(self.refused(*[error] * 9)[0], "dns")
        self.assertEqual(len(self.net.asked), 3)

    def test_no_progress_ends_the_tries(self):
        args = self.refused(whole(sent=100), *[part(100, sent=0) for _ in range(20)])
        self.assertEqual(args[:2], ("retries", 100))
        self.assertEqual(args[2].args[0], "short")
        self.assertEqual(len(self.net.asked), 9)

    def test_the_whole_has_a_limit_of_time(self):
        # 1024 bytes at 64 per second, and two minutes.
        args = self.refused(*[RESET] * 99, retries=99, size=len(DATA))
        self.assertEqual(args, ("reset", 104))
        self.assertLessEqual(self.net.clock.now, 136000 + 60000)
        self.assertGreaterEqual(self.net.clock.now, 136000)
        args = self.refused(whole(sent=100), *[part(100, sent=0)] * 99, retries=99, rate=1024)
        self.assertEqual(args[:2], ("retries", 100))
        self.assertLessEqual(self.net.clock.now, 121000 + 60000)
        # What a server asks for is granted beside it; without a rate there is no limit.
        busy = b"HTTP/1.1 503 Busy\r\nRetry-After: 3600\r\n\r\n"
        self.assertEqual(self.fetch(busy, RESET, busy, whole(), size=len(DATA)), DATA)
        self.assertEqual(self.fetch(*[RESET] * 20, whole(), retries=99, rate=0), DATA)

    def test_progress_lets_failures_be_forgotten(self):
        data = bytes(200000)
        streams = []
        for at in range(0, len(data), 8192):
            head = b"HTTP/1.1 206 P\r\nContent-Range: bytes %d-199999/200000\r\n\r\n" % at
            streams.append(Stream([head + data[at : at + 8192]]))
        streams[0] = whole(data, sent=8192)
        self.assertEqual(self.fetch(*streams, retries=3), data)
        self.assertEqual(len(self.net.asked), 25)

    def test_what_does_not_pass_is_not_tried_again(self):
        for answer, word in (
            (b"HTTP/1.1 404 Not Found\r\n\r\n", "status"),
            (b"HTTP/1.1 304 Same\r\n\r\n", "status"),
            (b"garbage\r\n\r\n", "protocol"),
            (b"HTTP/1.1 302 Found\r\n\r\n", "redirect"),
            (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", "encoding"),
            (TransportError("tls", 1), "tls"),
        ):
            with self.subTest(answer):
                self.assertEqual(self.refused(answer, whole())[0], word)
                self.assertEqual(len(self.net.asked), 1)

    def test_a_slow_server_is_left(self):
        slow = whole(sent=0)
        slow.pieces += [b"x", None, None] * 500
        self.assertEqual(self.refused(slow, poll_ms=1000)[0], "slow")

    def test_a_server_without_ranges_is_read_over(self):
        for cut in (1, 511, 512, 513, 1000):
            with self.subTest(cut):
                self.assertEqual(self.fetch(whole(sent=cut), whole()), DATA)
                self.assertEqual(self.ranges(), ["-", "%d-" % cut])

    def test_a_drop_while_reading_over_is_survived(self):
        self.assertEqual(self.fetch(whole(sent=700), whole(sent=300), whole()), DATA)

    def test_without_a_strong_tag_the_range_goes_without(self):
        self.assertEqual(self.fetch(whole(sent=10, etag=b'W/"x"'), part(10, etag=b'W/"x"')), DATA)
        self.assertFalse("If-Range" in self.net.request(1)[1])

    def test_another_file_is_noticed(self):
        other = bytes(len(DATA))
        for second in (
            whole(other, etag=b'"y"'),
            part(10, etag=b'"y"'),
            whole(DATA + b"more"),
            part(10, total=len(DATA) + 1),
        ):
            self.assertEqual(self.refused(whole(sent=10), second)[0], "changed")

    def test_a_second_reader_still_knows_the_file(self):
        self.open(whole()).close()
        self.net.streams = [part(100)]
        self.assertEqual(read_all(finish(self.source.open(100))), DATA[100:])
        self.assertEqual(self.net.request(1)[1]["If-Range"], '"x"')
        self.net.streams = [whole(bytes(len(DATA)), etag=b'"y"')]
        with self.assertRaises(TransportError) as caught:
            finish(self.source.open(100))
        self.assertEqual(caught.exception.reason, "changed")

    def test_parts_are_put_together_without_pause(self):
        streams = [whole(sent=3)] + [part(i, min(i + 100, 1024)) for i in range(3, 1024, 100)]
        self.assertEqual(self.fetch(*streams), DATA)
        self.assertLessEqual(self.net.clock.now, 1500)

    def test_416_is_got_around_once(self):
        wrong = b"HTTP/1.1 416 R\r\nContent-Range: bytes */1024\r\n\r\n"
        self.assertEqual(self.fetch(whole(sent=10), wrong, whole()), DATA)
        self.assertEqual(self.ranges(), ["-", "10-", "-"])
        self.assertEqual(self.refused(wrong, wrong, offset=10)[0], "status")

    def test_416_at_the_end_is_the_end(self):
        done = b"HTTP/1.1 416 R\r\nContent-Range: bytes */1024\r\n\r\n"
        self.assertEqual(self.fetch(done, offset=1024), b"")

    def test_another_size_than_expected_is_refused(self):
        for size in (len(DATA) - 1, len(DATA) + 1):
            self.assertEqual(self.refused(whole(), size=size)[0], "length")
        endless = whole(DATA * 2, length=False)
        self.assertEqual(self.refused(endless, size=len(DATA))[0], "length")
        self.assertEqual(self.fetch(whole(length=False), size=len(DATA)), DATA)

    def test_an_early_close_of_an_expected_size_is_resumed(self):
        first = whole(sent=10, length=False)
        self.assertEqual(self.fetch(first, part(10), size=len(DATA)), DATA)

    def test_reading_never_blocks_while_reconnecting(self):
        r = self.open(whole(sent=10), whole())
        buf = bytearray(100)
        self.assertEqual(r.readinto(buf), 10)
        before = self.net.clock.now
        self.assertIsNone(r.readinto(buf))
        self.assertIsNone(r.readinto(buf))
        self.assertLessEqual(self.net.clock.now - before, 40)

    def test_closing_ends_everything(self):
        r = self.open(whole(sent=10), Stream([...]))
        buf = bytearray(100)
        r.readinto(buf)
        while len(self.net.opened) < 2:
            self.assertIsNone(r.readinto(buf))
        r.readinto(buf)
        self.assertEqual(self.net.left_open(), 1)
        r.close()
        r.close()
        self.assertEqual(self.net.left_open(), 0)
        self.assertEqual(r.readinto(buf), 0)

    def test_giving_up_while_opening_closes_the_connection(self):
        self.net = Net(whole(sent=10), whole(sent=5))
        source = Resuming("http://h/", clock=self.net.clock, connect=self.net.connect, poll_ms=0)
        steps = source.open(20)
        for _ in range(2):
            next(steps)
        steps.close()
        self.assertEqual(self.net.left_open(), 0)
