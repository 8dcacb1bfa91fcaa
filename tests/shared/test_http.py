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

    def test_an_answer_of_a_proxy_is_one(self):
        self.assertEqual(self.get(OK.replace(b"200", b"203")).status, 200)
        self.assertEqual(self.refused(OK.replace(b"200", b"226")), ("status", 226))

    def test_a_part_with_another_status_is_told_by_its_field(self):
        r = self.get(PART.replace(b"206", b"200") + b"\r\nworld", offset=5)
        self.assertEqual((r.status, r.offset, r.length, r.total), (206, 5, 5, 10))
        for span in (b"bytes 0-9/10", b"bytes 4-8/10", b"x"):
            answer = b"HTTP/1.1 200 OK\r\nContent-Range: " + span + b"\r\n\r\nworld"
            self.assertEqual(self.refused(answer, offset=5)[0], "range")
            # Where no part was asked for, it is the whole file.
            self.assertEqual(read_all(self.get(answer)), b"world")

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
        for coding in (
            b"Identity",
            b"",
            b"none",
            b"binary",
            b"UTF-8",
            b"aws-chunked",
            b"utf-8, none",
        ):
            with self.subTest(coding):
                answer = OK.replace(b"\r\n", b"\r\nContent-Encoding: " + coding + b"\r\n", 1)
                self.assertEqual(read_all(self.get(answer)), b"hello")
        for coding in (b"aws-chunked,gzip", b"no", b"n", b"binary none", b"\xff"):
            with self.subTest(coding):
                answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: " + coding + b"\r\n\r\n"
                self.assertEqual(self.refused(answer), ("encoding",))

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

    def test_fields_belong_to_their_home(self):
        secret = {"Authorization": "Bearer x", "https://cdn": {"X-Key": "k"}}
        for url, home, found in (
            ("http://host/f", None, [True, False]),
            ("http://host/f", "http://host/other/manifest", [True, False]),
            ("http://HOST:80/f", "http://host./m", [True, False]),
            ("http://host/f", "http://home/", [False, False]),
            ("http://host:81/f", "http://host/", [False, False]),
            ("http://host/f", "https://host/", [False, False]),
            ("http://host/f", "", [False, False]),
            ("https://cdn/f", "http://host/", [False, True]),
            ("https://cdn/f", "https://cdn:443/x", [True, True]),
            ("https://cdn:444/f", "", [False, False]),
            ("http://cdn/f", "", [False, False]),
        ):
            with self.subTest(url=url, home=home):
                self.get(OK, url=url, home=home, headers=secret, tls=object())
                fields = self.net.request(0)[1]
                self.assertEqual([n in fields for n in ("Authorization", "X-Key")], found)
        # One that is named gets its own after a redirect, too; home gets none any more.
        self.get(
            moved(b"https://cdn/a"), moved(b"https://host/b"), OK,
            url="https://host/", headers=secret, tls=object(),
        )  # fmt: skip
        found = [
            [n in self.net.request(i)[1] for n in ("Authorization", "X-Key")] for i in range(3)
        ]
        self.assertEqual(found, [[True, False], [False, True], [False, False]])
        for bad in ({"https://cdn": {"X": "a\r\nY: b"}}, {"https://cdn": {"Host": "x"}},
                    {"ftp://cdn": {"X": "y"}}):  # fmt: skip
            self.assertIn(self.refused(OK, headers=bad)[0], ("headers", "url"))
            self.assertEqual(self.net.asked, [])

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
            (b"http://a b/", "url"),
            (b"http://\xc3\xa4/", "url"),
            (b"/a\tb", "url"),
            (b"/" + b"a" * 2060, "url"),
            (b"/" + b"a" * 3000, "url"),
            (b"http:/host/x", "url"),
            (b"\\x", "url"),
        ):
            with self.subTest(location):
                self.assertEqual(self.refused(moved(location))[0], word)
                self.assertEqual(len(self.net.asked), 1)
        self.assertEqual(self.refused(b"HTTP/1.1 302 Found\r\n\r\n")[0], "redirect")

    def test_redirects_to_signed_addresses_are_followed(self):
        # The shapes of GitHub, GitLab, S3 and Azure: some 4 KB of policy before a long Location.
        policy = b"Content-Security-Policy: " + b"default-src 'none'; " * 180 + b"\r\n"
        cookies = b"Set-Cookie: s=" + b"c" * 1200 + b"\r\n"
        for n in (600, 1100, 1800, 2020):
            there = "/r/a?sig=" + "s" * n
            location = b"Location: http://store.example" + there.encode() + b"\r\n"
            for head in (
                policy + cookies + location,
                location + policy,
                b"X: y\r\n" * 100 + location + cookies,
            ):
                first = b"HTTP/1.1 302 Found\r\n" + head + b"Content-Length: 0\r\n\r\n"
                answer = PART.replace(b"\r\n", b"\r\n" + policy, 1) + b"\r\nworld"
                if len(there) > 2018:
                    self.assertEqual(self.refused(first, answer, offset=5), ("url", "length"))
                    continue
                r = self.get(first, answer, offset=5)
                self.assertEqual(read_all(r), b"world")
                self.assertEqual(self.net.asked, [("host", 80), ("store.example", 80)])
                line, fields = self.net.request(1)
                self.assertEqual((line, fields["Range"]), ("GET %s HTTP/1.1" % there, "bytes=5-"))

    def test_a_location_as_people_write_them(self):
        for location, asked in (
            (b"x2", "/a/x2"),
            (b"//other/x2", "/x2"),
            (b"/x 2", "/x%202"),
            (b"/x\xc3\xbc", "/x%C3%BC"),
            (b"HTTP://other./x2#f", "/x2"),
            (b"?b=1", "/a/b?b=1"),
            (b"/x2?a=b|c", "/x2?a=b|c"),
        ):
            with self.subTest(location):
                r = self.get(moved(location), OK, url="http://host/a/b")
                self.assertEqual(read_all(r), b"hello")
                line, fields = self.net.request(1)
                self.assertEqual(line, "GET %s HTTP/1.1" % asked)
                self.assertIn(fields["Host"], ("host", "other"))

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


class TestWild(unittest.TestCase):
    """Answers put together at random, and changed: they are read, or refused with an error."""

    LINES = (
        b"HTTP/1.1 200 OK", b"HTTP/1.1 206 P", b"HTTP/1.1 302 F", b"http/1.2  203", b"",
        b"HTTP/1.1 103 H", b"HTTP/1.0 416 R", b"Content-Length: 5", b"Content-Length: 5, 5",
        b"Content-Length: +", b"content-length:", b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: identity, chunked", b"Content-Encoding: aws-chunked, none",
        b"Content-Range: bytes=5-9/10", b"Content-Range: */5", b"Content-Range: bytes 5-", b" x",
        b"Location: /b c", b"Location: //host./" + b"a" * 1500, b"Location: http:/", b"ETag: W/",
        b"X: " + b"y" * 2000, b": ", b"no colon", b"Retry-After: 9", b"Date: Sun, 06 Nov 1994",
        b"5;x=y", b"0", b"00000000000000005", b"hello", b"fffffff", b"-1", b"\xff\xfe", b"a\0b",
    )  # fmt: skip

    def test_random_answers(self):
        seed = [12345]

        def rand(n):
            seed[0] = (seed[0] * 1103515245 + 12345) & 0x3FFFFFFF
            return (seed[0] >> 12) % n

        ends = (b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r\n\r\n", b"")
        read = refused = 0
        for n in range(1500):
            streams = []
            for _ in range(3):
                data = b"" if rand(4) == 0 else b"HTTP/1.1 20%d X\r\n" % (rand(2) * 6)
                for _ in range(rand(9)):
                    data += self.LINES[rand(len(self.LINES))] + ends[rand(len(ends))]
                data += b"\r\n\r\nhello"
                if rand(3) == 0:
                    at = rand(len(data))
                    data = data[:at] + bytes([rand(256)]) + data[at + rand(3) :]
                step = 1 + rand(700)
                streams.append(Stream([data[i : i + step] for i in range(0, len(data), step)]))
            net = Net(*streams)
            steps = http.get(
                "http://host/a", rand(2) * 5, connect=net.connect, clock=net.clock, redirects=2
            )
            try:
                reader = finish(steps)
                self.assertTrue(len(read_all(reader, 64)) < 5000)
                read += 1
            except TransportError as e:
                self.assertTrue(e.code > 0)
                refused += 1
            self.assertEqual(net.left_open(), 0, n)
        self.assertTrue(read > 100 and refused > 100, (read, refused))
