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
        self.assertEqual([source.patience.pause(n) for n in (1, 7, 99)], [502, 30118, 30118])

    def test_a_name_that_does_not_exist_is_given_up_early(self):
        error = TransportError("dns", "name", OSError(-2))
        self.assertEqual(self.refused(*[error] * 9)[0], "dns")
        self.assertEqual(len(self.net.asked), 3)

    def test_no_progress_ends_the_tries(self):
        streams = [part(100, sent=0) for _ in range(8)]
        args = self.refused(whole(sent=100), *streams, whole(sent=90), whole())
        self.assertEqual(args[:2], ("retries", 100))
        self.assertEqual(args[2].args[0], "short")
        # The last one without a Range, which may be what the server does not like.
        self.assertEqual(self.ranges(), ["-"] + ["100-"] * 8 + ["-"])

    def test_the_whole_has_a_limit_of_time(self):
        # 1024 bytes at 64 per second, and two minutes.
        args = self.refused(*[RESET] * 99, retries=99, size=len(DATA))
        self.assertEqual(args, ("reset", 104))
        self.assertLessEqual(self.net.clock.now, 136000 + 60000)
        self.assertGreaterEqual(self.net.clock.now, 136000)
        args = self.refused(whole(sent=100), *[RESET] * 99, retries=99, rate=1024)
        self.assertEqual(args[:2], ("retries", 100))
        self.assertLessEqual(self.net.clock.now, 121000 + 60000)
        # What a server asks for is granted beside it; without a rate there is no limit.
        busy = b"HTTP/1.1 503 Busy\r\nRetry-After: 60\r\n\r\n"
        resets = [RESET] * 5
        got = self.fetch(busy, busy, *resets, whole(), retries=99, size=len(DATA))
        self.assertEqual(got, DATA)
        self.assertGreaterEqual(self.net.clock.now, 136000 + 60000)
        self.assertEqual(self.fetch(*[RESET] * 20, whole(), retries=99, rate=0), DATA)
        # One that the configuration says holds for all of it, pauses included.
        args = self.refused(*[RESET] * 20, whole(), retries=99, rate=0, total_ms=90000)
        self.assertEqual(args, ("slow", 90000))
        self.assertLessEqual(self.net.clock.now, 90100)

    def test_what_a_server_may_ask_to_wait(self):
        def busy(seconds, status=b"503"):
            return b"HTTP/1.1 " + status + b" Busy\r\nRetry-After: %d\r\n\r\n" % seconds

        for answer, more, args in (
            (busy(61), {}, ("later", 61)),
            (busy(3600), {}, ("later", 3600)),
            (busy(3600, b"429"), {"retries": 0}, ("later", 3600)),
            (busy(6), {"wait_ms": 5000}, ("later", 6)),
        ):
            self.assertEqual(self.refused(answer, whole(), **more)[:2], args)
            self.assertEqual(self.net.clock.now, 0)
        self.assertEqual(self.fetch(busy(3600), whole(), wait_ms=3600000), DATA)
        # Five times that in all, and bytes in between make it no longer.
        self.assertEqual(self.fetch(*[busy(60)] * 5, whole()), DATA)
        self.assertEqual(self.refused(*[busy(60)] * 6, whole())[0], "later")
        data = bytes(200000)
        streams = [whole(data, sent=20000)]
        for at in range(20000, 200000, 20000):
            head = b"HTTP/1.1 206 P\r\nContent-Range: bytes %d-199999/200000\r\n\r\n" % at
            streams += [busy(50), Stream([head + data[at : at + 20000]])]
        self.assertEqual(self.refused(*streams)[:2], ("later", 50))
        self.assertLessEqual(self.net.clock.now, 400000)

    def test_a_drip_over_many_requests_is_slow(self):
        # One byte to each request, after just less than silence may last.
        def drip(at, head=None):
            head = head or b"HTTP/1.1 206 P\r\nContent-Range: bytes %d-%d/160\r\n\r\n" % (at, at)
            return Stream([None] * 14 + [head + b"x"])

        first = b"HTTP/1.1 200 OK\r\nContent-Length: 160\r\n\r\n"
        for poll_ms in (1000, 500):
            streams = [drip(0, first)] + [drip(at) for at in range(1, 100)]
            args = self.refused(*streams, poll_ms=poll_ms)
            self.assertEqual(args[0], "slow")
            self.assertLessEqual(self.net.clock.now, 200000)
        # Without a lowest rate it is as slow as it likes.
        streams = [drip(0, first)] + [drip(at) for at in range(1, 160)]
        self.assertEqual(len(self.fetch(*streams, poll_ms=1000, rate=0)), 160)

    def test_much_around_few_bytes_is_slow(self):
        # Each kilobyte of it takes as long as the lowest rate lets it.
        def dripped(data):
            out = []
            for i in range(0, len(data), 70):
                out += [None] * 7 + [data[i : i + 70]]
            return Stream(out)

        coding = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        interim = (b"HTTP/1.1 103 Hints\r\n" + b"X: " + b"a" * 4000 + b"\r\n\r\n") * 8
        for data in (
            coding + (b"1;" + b"e" * 900 + b"\r\nx\r\n") * 100,
            coding + b"0\r\n" + b"X: " + b"a" * 30000,
            interim,
            b"HTTP/1.1 302 F\r\nX: " + b"a" * 15000 + b"\r\nLocation: /x\r\n\r\n",
        ):
            args = self.refused(*[dripped(data) for _ in range(9)], poll_ms=250)
            self.assertEqual(args[0], "slow")
            self.assertLessEqual(self.net.clock.now, 140000)

    def test_progress_lets_failures_be_forgotten(self):
        data = bytes(200000)
        streams = []
        for at in range(0, len(data), 8192):
            head = b"HTTP/1.1 206 P\r\nContent-Range: bytes %d-199999/200000\r\n\r\n" % at
            streams.append(Stream([head + data[at : at + 8192]]))
        streams[0] = whole(data, sent=8192)
        self.assertEqual(self.fetch(*streams, retries=3), data)
        self.assertEqual(len(self.net.asked), 25)

    def test_some_refusals_pass(self):
        for status in (408, 421, 425, 429, 500, 502, 503, 504, 520, 522, 524, 530):
            answer = b"HTTP/1.1 %d X\r\n\r\n" % status
            self.assertEqual(self.fetch(*[answer] * 3, whole()), DATA)
        for status in (403, 404):
            answer = b"HTTP/1.1 %d X\r\n\r\n" % status
            self.assertEqual(self.fetch(answer, whole()), DATA)
            self.assertEqual(self.refused(answer, answer, whole()), ("status", status))
            self.assertEqual(len(self.net.asked), 2)
            self.assertEqual(self.refused(answer, whole(), retries=0), ("status", status))

    def test_a_signed_address_that_ends_is_asked_for_anew(self):
        def moved(n):
            return b"HTTP/1.1 302 F\r\nLocation: http://store/f?sig=%d%s\r\n\r\n" % (n, b"s" * 900)

        ended = b"HTTP/1.1 403 Forbidden\r\n\r\n"
        got = self.fetch(moved(1), whole(sent=100), moved(2), ended, moved(3), part(100))
        self.assertEqual(got, DATA)
        self.assertEqual(self.ranges(), ["-", "-", "100-", "100-", "100-", "100-"])
        self.assertTrue(self.net.request(5)[0].startswith("GET /f?sig=3s"))

    def refuses(self, answer, asked, **arguments):
        """A server that answers so to each Range, and has the file; asked: each Range."""
        begun = whole(sent=100)
        streams = [begun] + [whole() if r == "-" else answer for r in asked]
        self.assertEqual(self.fetch(*streams, **arguments), DATA)
        self.assertEqual(self.ranges(), ["-"] + asked)

    def test_a_server_that_refuses_a_range_gives_the_file(self):
        for status in (304, 400, 405, 406, 412, 413, 416, 417, 501):
            with self.subTest(status):
                for retries in (1, 8):
                    answer = b"HTTP/1.1 %d X\r\n\r\n" % status
                    self.refuses(answer, ["100-", "-"], retries=retries)
                    self.assertEqual(self.net.clock.now, 1000)
        for status in (403, 404):
            answer = b"HTTP/1.1 %d X\r\n\r\n" % status
            self.refuses(answer, ["100-", "100-", "-"])
        for status in (500, 502, 503, 504, 520):
            answer = b"HTTP/1.1 %d X\r\n\r\n" % status
            self.refuses(answer, ["100-", "100-", "-"])
            self.refuses(answer, ["100-", "-"], retries=1)
        for status in (401, 407, 410, 451):
            self.refuses(b"HTTP/1.1 %d X\r\n\r\n" % status, ["100-", "-"])

    def test_a_server_that_bends_a_range_gives_the_file(self):
        head = b'HTTP/1.1 206 P\r\nETag: "x"\r\n'
        for fields in (
            b"",
            b"Content-Range: bytes 100-1024/1024\r\n",
            b"Content-Range: bytes 0-1023/1024\r\n",
            b"Content-Range: bytes 100-1023/1025\r\n",
            b"Content-Range: bytes 99-1023/1024\r\n",
            b"Content-Range: items 100-1023/1024\r\n",
            b"Content-Range: bytes 100-1023/1024\r\nContent-Length: 923\r\n",
            b"Content-Type: multipart/byteranges; boundary=x\r\n",
        ):
            with self.subTest(fields):
                self.refuses(head + fields + b"\r\n" + DATA[100:], ["100-", "-"])
        for answer in (b"HTTP/1.1 200 OK\r\nContent-Range: bytes */1024\r\n\r\n", b"junk\r\n\r\n"):
            self.refuses(answer, ["100-", "-"])
        # One that only breaks the connection: when nothing else is left.
        self.refuses(b"", ["100-"] * 2 + ["-"], retries=2)

    def test_at_a_later_start_a_refused_range_is_got_around_too(self):
        # As behind a power cut: nothing is known but the offset.
        for answer in (
            b"HTTP/1.1 403 X\r\n\r\n",
            b"HTTP/1.1 501 X\r\n\r\n",
            b"HTTP/1.1 206 P\r\n\r\n",
        ):
            streams = [answer] * (2 if b"403" in answer else 1) + [whole()]
            self.assertEqual(self.fetch(*streams, offset=1000), DATA[1000:])

    def test_an_outage_does_not_end_ranges(self):
        away = b"HTTP/1.1 502 X\r\n\r\n"
        got = self.fetch(whole(sent=500), away, away, away, part(500))
        self.assertEqual(got, DATA)
        self.assertEqual(self.ranges(), ["-", "500-", "500-", "-", "500-"])

    def test_parts_that_a_server_refuses(self):
        for answer in (
            b"HTTP/1.1 400 X\r\n\r\n",
            b"HTTP/1.1 416 X\r\n\r\n",
            b"HTTP/1.1 206 P\r\n\r\n",
        ):
            self.assertEqual(self.fetch(answer, whole(), part=300), DATA)
            self.assertEqual(self.ranges(), ["0-299", "-"])

    def test_what_does_not_pass_is_not_tried_again(self):
        for answer, word in (
            (b"HTTP/1.1 410 Gone\r\n\r\n", "status"),
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
        ):
            self.assertEqual(self.refused(whole(sent=10), second)[0], "changed")
        # Of the same tag, and still another total: the file may be the same.
        answer = self.refused(whole(sent=10), part(10, total=1025), whole(DATA + b"more"))
        self.assertEqual(answer[0], "changed")

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
