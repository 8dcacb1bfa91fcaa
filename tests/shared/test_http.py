"""The GET client against scripted connections: requests, redirects, statuses, ranges."""

import unittest

from fakenet import Net, Stream, finish, read_all
from ota.errors import TransportError
from ota.transport import http

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
PART = b"HTTP/1.1 206 Partial\r\nContent-Length: 5\r\nContent-Range: bytes 5-9/10\r\n"


def moved(location, status=b"302"):
    return b"HTTP/1.1 " + status + b" Moved\r\nLocation: " + location + b"\r\n\r\nignored"


class TestHttp(unittest.TestCase):
    def get(self, *streams, **arguments):
        self.net = Net(*streams)
        url = arguments.pop("url", "http://host/file")
        return finish(http.get(url, connect=self.net.connect, clock=self.net.clock, **arguments))

    def refused(self, *args, **arguments):
        """The error's args; no connection is left open."""
        with self.assertRaises(TransportError) as caught:
            self.get(*args, **arguments)
        self.assertEqual(self.net.left_open(), 0)
        return caught.exception.args

    def test_a_request_says_what_it_wants_and_no_more(self):
        r = self.get(OK, url="http://Host:81/a?b=c#d")
        self.assertEqual((r.status, r.offset, r.length, r.total, r.etag), (200, 0, 5, 5, None))
        self.assertEqual(read_all(r), b"hello")
        self.assertEqual(self.net.left_open(), 0)
        line, fields = self.net.request(0)
        self.assertEqual(line, "GET /a?b=c HTTP/1.1")
        self.assertTrue(fields.pop("User-Agent").startswith("micropython-ota/"))
        self.assertEqual(
            fields, {"Host": "host:81", "Accept-Encoding": "identity", "Connection": "close"}
        )

    def test_a_range_request_names_the_file_it_belongs_to(self):
        r = self.get(PART + b'ETag: "x"\r\n\r\nworld', offset=5, etag='"x"')
        self.assertEqual((r.status, r.offset, r.length, r.total, r.etag), (206, 5, 5, 10, '"x"'))
        self.assertEqual(read_all(r), b"world")
        fields = self.net.request(0)[1]
        self.assertEqual((fields["Range"], fields["If-Range"]), ("bytes=5-", '"x"'))

    def test_from_the_start_no_range_is_asked_for(self):
        self.get(OK, etag='"x"')
        fields = self.net.request(0)[1]
        self.assertFalse("Range" in fields or "If-Range" in fields)
        self.assertEqual(fields["If-None-Match"], '"x"')

    def test_a_file_that_is_still_the_same_does_not_come(self):
        r = self.get(b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n', etag='"x"')
        self.assertEqual((r.status, r.length, r.etag, read_all(r)), (304, 0, '"x"', b""))
        self.assertEqual(self.net.left_open(), 0)
        # Not asked for: without a tag, and behind an offset.
        for more in ({}, {"etag": '"x"', "offset": 5}):
            self.assertEqual(self.refused(b"HTTP/1.1 304 N\r\n\r\n", **more), ("status", 304))

    def test_a_whole_answer_to_a_range_request_starts_at_zero(self):
        r = self.get(OK, offset=3)
        self.assertEqual((r.status, r.offset, r.length), (200, 0, 5))

    def test_a_part_may_be_shorter_and_of_unknown_total(self):
        r = self.get(b"HTTP/1.1 206 P\r\nContent-Range: bytes 5-6/*\r\n\r\nwoXX", offset=5)
        self.assertEqual((r.length, r.total), (2, None))
        self.assertEqual(read_all(r), b"wo")

    def test_a_part_that_was_not_asked_for_is_refused(self):
        for fields in (
            b"Content-Range: bytes 4-9/10\r\n",
            b"Content-Range: bytes 6-9/10\r\n",
            b"Content-Range: bytes 5-9/9\r\n",
            b"Content-Range: bytes 5-9/10\r\nContent-Length: 4\r\n",
            b"Content-Range: bytes */10\r\n",
            b"Content-Type: multipart/byteranges; boundary=x\r\n",
        ):
            with self.subTest(fields):
                answer = b"HTTP/1.1 206 P\r\n" + fields + b"\r\nworld"
                self.assertEqual(self.refused(answer, offset=5)[0], "range")
        answer = b"HTTP/1.1 206 P\r\nContent-Range: bytes 0-4/5\r\n\r\nhello"
        self.assertEqual(self.refused(answer)[0], "range")

    def test_a_part_of_another_file_is_refused(self):
        answer = PART + b'ETag: "y"\r\n\r\nworld'
        self.assertEqual(self.refused(answer, offset=5, etag='"x"')[0], "changed")

    def test_416_with_everything_there_is_an_empty_rest(self):
        r = self.get(b"HTTP/1.1 416 R\r\nContent-Range: bytes */10\r\n\r\nno", offset=10)
        self.assertEqual((r.status, r.offset, r.length, r.total), (416, 10, 0, 10))
        self.assertEqual(r.readinto(bytearray(5)), 0)
        self.assertEqual(self.net.left_open(), 0)

    def test_416_otherwise_is_an_error(self):
        answer = b"HTTP/1.1 416 R\r\nContent-Range: bytes */9\r\n\r\n"
        self.assertEqual(self.refused(answer, offset=10), ("range", 416, 9))
        self.assertEqual(self.refused(b"HTTP/1.1 416 R\r\n\r\n", offset=10), ("range", 416, None))
        self.assertEqual(self.refused(answer), ("status", 416))

    def test_other_statuses_are_errors(self):
        for status in (b"201", b"204", b"205", b"300", b"304", b"401", b"404", b"407", b"503"):
            with self.subTest(status):
                answer = b"HTTP/1.1 " + status + b" Status\r\n\r\nbody"
                self.assertEqual(self.refused(answer), ("status", int(status)))
        answer = b"HTTP/1.1 429 Busy\r\nRetry-After: 7\r\n\r\n"
        self.assertEqual(self.refused(answer), ("status", 429, 7))

    def test_an_encoded_body_is_refused(self):
        for coding in (b"gzip", b"br", b"gzip, identity"):
            answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: " + coding + b"\r\n\r\n"
            self.assertEqual(self.refused(answer), ("encoding",))
        self.get(b"HTTP/1.1 200 OK\r\nContent-Encoding: Identity\r\n\r\n")

    def test_a_head_in_pieces_is_waited_for(self):
        pieces = []
        for i in range(len(OK)):
            pieces += [None, None, OK[i : i + 1]]
        self.assertEqual(read_all(self.get(Stream(pieces))), b"hello")

    def test_silence_is_a_timeout(self):
        for pieces in ([...], [b"HTTP/1.1 200 OK\r\nX: ", ...]):
            self.assertEqual(self.refused(Stream(pieces))[0], "timeout")
            self.assertLessEqual(self.net.clock.now, 16000)

    def test_a_write_that_never_goes_is_a_timeout(self):
        stream = Stream(OK)
        stream.write = lambda data: None
        self.assertEqual(self.refused(stream, idle_ms=500), ("timeout", 500))

    def test_a_write_goes_in_pieces(self):
        stream = Stream(OK)
        whole = stream.write
        turns = []

        def write(data):
            turns.append(1)
            return None if len(turns) % 2 else whole(data[:7])

        stream.write = write
        self.assertEqual(read_all(self.get(stream)), b"hello")
        self.assertEqual(self.net.request(0)[0], "GET /file HTTP/1.1")

    def test_a_reset_passes_as_it_is(self):
        self.assertEqual(self.refused(Stream([TransportError("reset", 104)])), ("reset", 104))
        self.assertEqual(self.refused(TransportError("dns", -2)), ("dns", -2))

    def test_giving_up_halfway_closes_the_connection(self):
        net = Net(Stream([...]))
        steps = http.get("http://host/", connect=net.connect, clock=net.clock)
        for _ in range(5):
            next(steps)
        self.assertEqual(net.left_open(), 1)
        steps.close()
        self.assertEqual(net.left_open(), 0)

    def test_redirects_are_followed_with_their_range(self):
        for status in (b"301", b"302", b"303", b"307", b"308"):
            with self.subTest(status):
                answer = PART + b"\r\nworld"
                r = self.get(moved(b"../b", status), answer, url="http://host/a/x", offset=5)
                self.assertEqual(read_all(r), b"world")
                self.assertEqual(self.net.left_open(), 0)
                line, fields = self.net.request(1)
                self.assertEqual((line, fields["Range"]), ("GET /b HTTP/1.1", "bytes=5-"))

    def test_a_redirect_may_leave_the_host_but_secrets_do_not(self):
        secret = {"Authorization": "Bearer x", "X-Id": "1"}
        self.get(
            moved(b"/b"), moved(b"http://other:81/c"), moved(b"http://host/d"), OK, headers=secret
        )
        self.assertEqual(self.net.asked, [("host", 80), ("host", 80), ("other", 81), ("host", 80)])
        found = ["Authorization" in self.net.request(i)[1] for i in range(4)]
        self.assertEqual(found, [True, True, False, False])
        self.assertEqual(self.net.request(2)[1]["Host"], "other:81")

    def test_another_port_is_another_place(self):
        self.get(moved(b"http://host:81/"), OK, headers={"X-Id": "1"})
        self.assertFalse("X-Id" in self.net.request(1)[1])

    def test_redirects_have_an_end(self):
        self.assertEqual(self.refused(*[moved(b"/")] * 6)[0], "redirect")
        self.assertEqual(len(self.net.asked), 6)
        self.assertEqual(read_all(self.get(*[moved(b"/")] * 5 + [OK])), b"hello")
        self.assertEqual(self.refused(moved(b"/"), redirects=0)[0], "redirect")

    def test_bad_redirects_are_refused(self):
        for location, word in (
            (b"", "redirect"),
            (b"file:///etc/passwd", "url"),
            (b"ftp://host/", "url"),
            (b"http://user@host/", "url"),
            (b"/a b", "url"),
            (b"/\xff\xfe", "url"),
            (b"/\xc3\xa4", "url"),
        ):
            with self.subTest(location):
                self.assertEqual(self.refused(moved(location))[0], word)
                self.assertEqual(len(self.net.asked), 1)
        self.assertEqual(self.refused(b"HTTP/1.1 302 Found\r\n\r\n")[0], "redirect")

    def test_https_does_not_become_http(self):
        arguments = {"url": "https://host/", "tls": object()}
        self.assertEqual(self.refused(moved(b"http://host/"), **arguments), ("downgrade",))
        self.assertEqual(read_all(self.get(moved(b"//other/"), OK, **arguments)), b"hello")
        self.assertEqual(self.net.asked, [("host", 443), ("other", 443)])

    def test_nothing_can_be_smuggled_into_a_request(self):
        for arguments in (
            {"url": "http://host/\r\nX: y"},
            {"url": "http://ho\nst/"},
            {"headers": {"X": "a\r\nY: b"}},
            {"headers": {"X": "a\0"}},
            {"headers": {"X\r\nY": "a"}},
            {"headers": {"X: Y": "a"}},
            {"headers": {"": "a"}},
            {"headers": {"X": "\u00e4"}},
            {"etag": '"a"\r\nX: y', "offset": 1},
            {"etag": 'W/"a"', "offset": 1},
            {"etag": "*", "offset": 1},
        ):
            with self.subTest(arguments):
                self.assertIn(self.refused(OK, **arguments)[0], ("url", "headers"))
                self.assertEqual(self.net.asked, [])

    def test_own_fields_are_not_a_callers(self):
        for name in ("Host", "range", "Content-Length", "CONNECTION"):
            self.assertEqual(self.refused(OK, headers={name: "x"}), ("headers", name))
            self.assertEqual(self.net.asked, [])

    def test_an_unknown_limit_is_a_mistake(self):
        with self.assertRaises(TypeError):
            self.get(OK, timeout_s=1)
