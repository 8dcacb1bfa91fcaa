"""A connection that one request leaves to the next, against scripted connections."""

import unittest

from fakenet import Net, Stream, finish, read_all
from ota.errors import TransportError
from ota.transport import http
from ota.transport.http import Kept
from ota.transport.resume import Resuming

URL = "http://host/a"


def answer(data, *fields, line=b"HTTP/1.1 200 OK"):
    fields = (b"Content-Length: %d" % len(data),) + fields
    return b"\r\n".join((line,) + fields) + b"\r\n\r\n" + data


ONE, TWO = answer(b"one"), answer(b"two")
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\nX: y\r\n\r\n"
RESET = TransportError("reset", 104)


class TestKept(unittest.TestCase):
    def ask(self, url=URL, **arguments):
        steps = http.get(
            url, kept=self.kept, connect=self.net.connect, clock=self.net.clock, **arguments
        )
        return finish(steps)

    def both(self, *streams, url=URL):
        """How many connections two requests took; what they brought is right."""
        self.net, self.kept = Net(*streams), Kept()
        self.assertEqual(read_all(self.ask()), b"one")
        self.assertEqual(read_all(self.ask(url)), b"two")
        self.kept.close()
        self.kept.close()
        self.assertEqual(self.net.left_open(), 0)
        return len(self.net.opened)

    def test_a_second_request_goes_the_same_way(self):
        for first in (ONE, CHUNKED, answer(b"one", b"Connection: keep-alive")):
            self.assertEqual(self.both(Stream([first, None, TWO])), 1)
            self.assertEqual(self.net.asked, [("host", 80)])
            requests = self.net.requests(0)
            self.assertEqual([line for line, _ in requests], ["GET /a HTTP/1.1"] * 2)
            self.assertFalse("Connection" in requests[0][1] or "Connection" in requests[1][1])

    def test_the_line_buffer_goes_with_the_head_and_comes_back(self):
        # Not with chunks, which are lines, too.
        for first, gone in ((ONE, True), (CHUNKED, False)):
            self.net, self.kept = Net(Stream([first, None, TWO])), Kept()
            reply = self.ask()
            wire = reply._wire
            self.assertEqual(read_all(reply), b"one")
            self.assertEqual(wire._buf is None, gone)
            self.assertEqual(read_all(self.ask()), b"two")
            self.assertEqual(len(self.net.opened), 1)

    def test_another_place_is_another_connection(self):
        for url in ("http://other/a", "http://host:81/a"):
            self.assertEqual(self.both(Stream([ONE, None, TWO]), TWO, url=url), 2)
        # A name is the same in capitals, and a port if it is the usual one.
        self.assertEqual(self.both(Stream([ONE, None, TWO]), url="http://HOST:80/b"), 1)

    def test_who_says_close_is_believed(self):
        for first in (
            answer(b"one", b"Connection: close"),
            answer(b"one", b"connection: X, Close"),
            answer(b"one", b"Connection: keep-alive", b"Connection: close"),
            answer(b"one", b"Connection: close", b"Connection: keep-alive"),
            answer(b"one", line=b"HTTP/1.0 200 OK"),
            answer(b"one", b"Connection: keep-alive", line=b"HTTP/1.0 200 OK"),
        ):
            # The peer would answer, but it said otherwise.
            self.assertEqual(self.both(Stream([first, None, TWO]), TWO), 2, first)
        self.assertEqual(self.both(b"HTTP/1.1 200 OK\r\n\r\none", TWO), 2)

    def test_more_than_was_asked_for_ends_it(self):
        for first in (ONE + TWO, ONE + b"\0", CHUNKED + b"\r\n"):
            self.assertEqual(self.both(Stream([first, None, TWO]), TWO), 2, first)
        for more in (TWO, b"\0"):
            self.assertEqual(self.both(Stream([ONE, more, None, TWO]), TWO), 2, more)

    def test_a_peer_that_went_is_no_failure(self):
        # Before the request, behind it, within the answer's head, or out of step.
        for rest in ([], [RESET], [None], [None, RESET], [None, TWO[:9]], [None, b"stale", ...]):
            self.assertEqual(self.both(Stream([ONE] + rest), TWO), 2, rest)
        # On a new connection it is one.
        self.net, self.kept = Net(Stream([ONE]), Stream([RESET])), Kept()
        read_all(self.ask())
        with self.assertRaises(TransportError) as caught:
            self.ask()
        self.assertEqual(caught.exception.args, ("reset", 104))
        self.assertEqual(self.net.left_open(), 0)

    def test_an_answer_that_was_not_read_is_not_left(self):
        self.net, self.kept = Net(Stream([ONE, None, TWO]), TWO), Kept()
        self.ask().close()
        self.assertEqual(self.net.left_open(), 0)
        self.assertEqual(read_all(self.ask()), b"two")
        self.assertEqual(len(self.net.opened), 2)

    def test_a_redirect_or_an_error_is_not_left(self):
        moved = answer(b"", b"Location: /b", line=b"HTTP/1.1 302 F")
        self.net, self.kept = Net(Stream([moved, None, ONE]), Stream([ONE, None, TWO])), Kept()
        self.assertEqual(read_all(self.ask()), b"one")
        self.assertEqual(self.net.opened[0].closed, 1)
        self.assertEqual(read_all(self.ask()), b"two")
        self.net, self.kept = Net(answer(b"", line=b"HTTP/1.1 404 N")), Kept()
        with self.assertRaises(TransportError):
            self.ask()
        self.assertEqual(self.net.left_open(), 0)

    def test_giving_up_on_it_closes_it(self):
        self.net, self.kept = Net(Stream([ONE, None, ...])), Kept()
        read_all(self.ask())
        steps = http.get(URL, kept=self.kept, connect=self.net.connect, clock=self.net.clock)
        for _ in range(5):
            next(steps)
        steps.close()
        self.assertEqual(self.net.left_open(), 0)


DATA = bytes(range(250))


def part(start, end, total=b"250", *fields):
    text = b"Content-Range: bytes %d-%d/%s" % (start, end - 1, total)
    fields = (b'ETag: "x"', text) + fields
    return answer(DATA[start:end], *fields, line=b"HTTP/1.1 206 P")


class TestParts(unittest.TestCase):
    def fetch(self, *streams, **arguments):
        self.net = Net(*streams)
        self.source = Resuming(
            URL,
            rand=lambda n: bytes(n),
            sleep=self.net.clock.sleep,
            clock=self.net.clock,
            connect=self.net.connect,
            part=100,
            **arguments,
        )
        data = read_all(finish(self.source.open(0)), 30)
        self.assertEqual(self.net.left_open(), 0)
        return data

    def asked(self):
        """(connection, range, whether of the same file) of each request."""
        out = []
        for i in range(len(self.net.opened)):
            for _, fields in self.net.requests(i):
                out.append((i, fields["Range"], fields.get("If-Range") == '"x"'))
        return out

    def test_parts_come_one_after_the_other_on_one_connection(self):
        stream = Stream([part(0, 100), None, part(100, 200), None, part(200, 250)])
        self.assertEqual(self.fetch(stream), DATA)
        self.assertEqual(
            self.asked(),
            [
                (0, "bytes=0-99", False),
                (0, "bytes=100-199", True),
                (0, "bytes=200-299", True),
            ],
        )
        self.assertEqual(self.net.clock.now, 0)

    def test_a_server_that_closes_costs_a_connection_each(self):
        closing = [part(i, min(i + 100, 250), b"250", b"Connection: close") for i in (0, 100, 200)]
        self.assertEqual(self.fetch(*closing), DATA)
        self.assertEqual([n for n, _, _ in self.asked()], [0, 1, 2])
        self.assertEqual(self.net.clock.now, 0)

    def test_a_server_that_knows_no_ranges_sends_all(self):
        self.assertEqual(self.fetch(answer(DATA)), DATA)
        self.assertEqual(self.asked(), [(0, "bytes=0-99", False)])

    def test_a_drop_within_a_part_is_resumed(self):
        first = part(0, 100)
        second = Stream([part(60, 160), None, part(160, 250)])
        self.assertEqual(self.fetch(first[:-40], second), DATA)
        self.assertEqual([r for _, r, _ in self.asked()][:2], ["bytes=0-99", "bytes=60-159"])
        self.assertEqual(self.net.clock.now, 1000)

    def test_another_file_in_the_middle_is_refused(self):
        other = part(100, 200).replace(b'"x"', b'"y"')
        with self.assertRaises(TransportError) as caught:
            self.fetch(Stream([part(0, 100), None, other]))
        self.assertEqual(caught.exception.reason, "changed")
        self.assertEqual(self.net.left_open(), 0)

    def test_the_answer_to_another_request_is_not_taken(self):
        # Of another size: it comes again over a new connection, without a pause.
        late = [part(0, 100), None, answer(b"manifest")]
        rest = Stream([part(100, 200), None, part(200, 250)])
        self.assertEqual(self.fetch(Stream(late), rest), DATA)
        self.assertEqual([n for n, _, _ in self.asked()], [0, 0, 1, 1])
        self.assertEqual(self.net.clock.now, 0)

    def test_the_connection_of_somebody_else_stays_with_him(self):
        kept = Kept()
        self.net = Net(Stream([part(0, 100), None, part(100, 200), None, part(200, 250)]))
        source = Resuming(URL, connect=self.net.connect, clock=self.net.clock, part=100, kept=kept)
        self.assertEqual(read_all(finish(source.open(0)), 30), DATA)
        self.assertEqual(self.net.left_open(), 1)
        kept.close()
        self.assertEqual(self.net.left_open(), 0)
