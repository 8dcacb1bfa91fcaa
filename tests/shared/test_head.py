"""Lines, heads and bodies of HTTP, from a stream that says anything."""

import unittest

from fakenet import Clock, Stream, finish, read_all
from ota.errors import TransportError
from ota.transport import head
from ota.transport.body import Response
from ota.transport.wire import Limits, Wire


def wire(pieces, **limits):
    stream = Stream(pieces)
    return Wire(stream, Limits(**limits), stream.clock)


def single(data):
    """The same bytes, one at a time, with a "not yet" after each."""
    out = []
    for i in range(len(data)):
        out += [data[i : i + 1], None, None]
    return out


class Case(unittest.TestCase):
    def refused(self, word, func, *args):
        with self.assertRaises(TransportError) as caught:
            func(*args)
        self.assertEqual(caught.exception.reason, word)
        return caught.exception


class TestHead(Case):
    def read(self, pieces, **limits):
        return finish(head.read(wire(pieces, **limits)))

    def test_status_lines_of_http_1_are_taken(self):
        for line, status in (
            (b"HTTP/1.1 200 OK", 200),
            (b"HTTP/1.0 404 Not Found", 404),
            (b"HTTP/1.1 200", 200),
            (b"HTTP/1.1 200 ", 200),
            (b"HTTP/1.1 599 a  b\xff", 599),
            (b"http/1.1 200 OK", 200),
            (b"HTTP/1.2 200 OK", 200),
            (b"HTTP/1.1  200  OK", 200),
            (b"\r\n\n\r\nHTTP/1.1 200 OK", 200),
        ):
            with self.subTest(line):
                self.assertEqual(self.read(line + b"\r\n\r\n").status, status)

    def test_other_status_lines_are_refused(self):
        for line in (
            b"\n\n\n\n\nHTTP/1.1 200 OK",
            b"HTTP/1.x 200 OK",
            b"HTTP/1. 200 OK",
            b"HTTP/1.11 200 OK",
            b"HTTP/2.0 200 OK",
            b"HTTP/2 200",
            b"HTTP/1.1 2000 OK",
            b"HTTP/1.1 20 OK",
            b"HTTP/1.1 +20 OK",
            b"HTTP/1.1 099 OK",
            b"HTTP/1.1 600 OK",
            b"HTTP/1.1 200OK",
            b"HTTP/1.1 20x",
            b" HTTP/1.1 200 OK",
            b"HTTP/1.1 200 O\0K",
            b"HTTP/1.1 200 O\rK",
            b"SSH-2.0-OpenSSH",
            b"\x15\x03\x01\x00\x02\x02",
        ):
            with self.subTest(line):
                self.refused("protocol", self.read, line + b"\r\n\r\n")

    def test_fields_are_read_whatever_their_case_ends_and_pieces(self):
        data = b'HTTP/1.1 200 OK\r\ncOnTeNt-LeNgTh:5\nETag:\t"x" \r\nX: y:z\r\nEmpty:\r\n\r\nrest'
        for pieces in (data, single(data)):
            found = self.read(pieces)
            self.assertEqual((found.length, found.etag, found.chunked), (5, '"x"', False))
            self.assertEqual(len(found.fields), 2)

    def test_bad_fields_are_refused(self):
        # What others may read otherwise, in a field that says which bytes the body is.
        for line in (
            b"X: a\0b",
            b"X: a\rb",
            b"Content-Length : 5",
            b"Content-Length\t: 5",
            b"Transfer-Encoding: chunked\r\n gzip",
            b"Content-Length: 5\r\n 6",
            b"Content-Range: bytes\r\n\t5-9/10",
        ):
            with self.subTest(line):
                self.refused(
                    "protocol", self.read, b"HTTP/1.1 200\r\nA: b\r\n" + line + b"\r\n\r\n"
                )

    def test_malformed_fields_that_do_not_matter_are_passed_over(self):
        for line in (
            b"no colon",
            b": value",
            b"Name : value",
            b"Na me: value",
            b" folded: value",
            b"\tfolded",
            b"X: \xff\x01",
            b"Set-Cookie: a=1;\r\n  b=2",
            b"Content Length: 7",
        ):
            for before in (b"", b"A: b\r\n"):
                with self.subTest(line=line, before=before):
                    found = self.read(
                        b"HTTP/1.1 200\r\n" + before + line + b"\r\nContent-Length: 5\r\n\r\n"
                    )
                    self.assertEqual(found.length, 5)
        # In two lines, or twice: as if the server had not said it.
        for lines, etag in (
            ((b'ETag: "a"', b"  more"), None),
            ((b'ETag: "a"', b'ETag: W/"a"'), None),
            ((b'ETag: "a"', b'ETag: "b"', b'ETag: "a"'), None),
            ((b'ETag: "a"', b'etag: "a"'), '"a"'),
            ((b'ETag: "a"', b"X: y", b"  more"), '"a"'),
        ):
            self.assertEqual(self.fields(*lines).etag, etag)
        self.assertFalse(
            self.fields(b"Connection: keep-alive", b"  more", b"Content-Length: 1").keeps
        )

    def test_lengths_are_plain_numbers(self):
        for value, length in (
            (b"0", 0), (b"007", 7), (b"2147483647", 2147483647), (b"000000000005", 5),
            (b"5, 5", 5), (b"5,05 ,", 5), (b"+5", 5), (b"", None), (b",", None),
        ):  # fmt: skip
            with self.subTest(value):
                self.assertEqual(self.fields(b"Content-Length: " + value).length, length)
        for value in (
            b"+",
            b"-1",
            b"++1",
            b"5, 6",
            b"5, x",
            b"1.0",
            b"0x10",
            b"1_0",
            b"1 1",
            b"\xd9\xa1",
            b"2147483648",
            b"9223372036854775808",
            b"0" * 20 + b"1",
        ):
            with self.subTest(value):
                found = self.fields(b"Content-Length: " + value)
                self.refused("protocol", lambda f: f.length, found)

    def fields(self, *lines):
        return self.read(b"HTTP/1.1 200\r\n" + b"\r\n".join(lines) + b"\r\n\r\n")

    def test_a_field_may_come_twice_only_with_the_same_value(self):
        self.assertEqual(self.fields(b"Content-Length: 5", b"content-length:5").length, 5)
        self.refused("protocol", self.fields, b"Content-Range: 5", b"Content-Range: 6")
        found = self.fields(b"Content-Length: 5", b"Content-Length: 6")
        self.refused("protocol", lambda f: f.length, found)
        moved = b"HTTP/1.1 302 F\r\nLocation: /a\r\n"
        for more in (b"Location: /b\r\n", b" c\r\n", b"Location: /" + b"b" * 1500 + b"\r\n"):
            self.refused("protocol", self.read, moved + more + b"\r\n")
        self.assertEqual(self.read(moved + b"Location: /a\r\n\r\n").location, "/a")

    def test_only_chunked_is_a_coding(self):
        self.assertTrue(self.fields(b"Transfer-Encoding: Chunked").chunked)
        self.assertTrue(self.fields(*[b"Transfer-Encoding: chunked"] * 2).chunked)
        self.assertTrue(self.fields(b"Transfer-Encoding: identity, chunked").chunked)
        self.assertFalse(self.fields(b"Transfer-Encoding: identity", b"Content-Length: 5").chunked)
        for lines in (
            (b"Transfer-Encoding: gzip, chunked",),
            (b"Transfer-Encoding: chunked, chunked",),
            (b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip"),
            (b"Transfer-Encoding:",),
            (b"Transfer-Encoding: chunked", b"Content-Length: 5"),
        ):
            with self.subTest(lines):
                self.refused("protocol", lambda f: f.chunked, self.fields(*lines))

    def test_only_strong_and_harmless_entity_tags_count(self):
        for value, etag in (
            (b'"a"', '"a"'),
            (b'""', '""'),
            (b'W/"a"', None),
            (b"a", None),
            (b'"', None),
            (b'"a"b"', None),
            (b'"a b"', None),
            (b'"\xff"', None),
            (b'"\x7f"', None),
            (b'"' + b"a" * 200 + b'"', None),
        ):
            with self.subTest(value):
                self.assertEqual(self.fields(b"ETag: " + value).etag, etag)

    def test_content_range(self):
        for value, parts in (
            (b"bytes 5-9/10", (5, 5, 10)),
            (b"Bytes 0-0/1", (0, 1, 1)),
            (b"bytes 5-9/*", (5, 5, None)),
            (b"5-9/10", (5, 5, 10)),
            (b"bytes  5-9/10", (5, 5, 10)),
            (b"bytes=5-9/10", (5, 5, 10)),
            (b"bytes: 5-9/10", (5, 5, 10)),
            (b"bytes 5 - 9 / 10", (5, 5, 10)),
        ):
            with self.subTest(value):
                self.assertEqual(self.fields(b"Content-Range: " + value).range, parts)
        for value in (
            b"",
            b"bytes",
            b"bytes */10",
            b"bytes 5-9",
            b"bytes 9-5/10",
            b"bytes 5-10/10",
            b"bytes -5/10",
            b"bytes 5-/10",
            b"bytes 5-9/",
            b"bytes 5-9/1x",
            b"5-9/10 bytes",
            b"bytes 5-9/10, 5-9/10",
            b"items 5-9/10",
            b"bytes 5-99999999999/*",
        ):
            with self.subTest(value):
                self.refused("range", lambda f: f.range, self.fields(b"Content-Range: " + value))

    def test_retry_after_is_seconds_and_at_most_an_hour(self):
        for value, seconds in (
            (b"5", 5),
            (b"0", 0),
            (b"3601", 3600),
            (b"9" * 50, 3600),
            (b"-1", None),
            (b"Fri, 31 Dec 1999 23:59:59 GMT", None),
        ):
            with self.subTest(value):
                self.assertEqual(self.fields(b"Retry-After: " + value).retry_after_s, seconds)

    def test_retry_after_may_be_a_date_of_the_server_s_clock(self):
        for date, value, seconds in (
            (b"Fri, 31 Dec 1999 23:59:59 GMT", b"Sat, 01 Jan 2000 00:00:09 GMT", 10),
            (b"Mon, 28 Feb 2000 23:59:00 GMT", b"Wed, 01 Mar 2000 00:00:00 GMT", 3600),
            (b"Tue, 29 Feb 2000 23:59:58 GMT", b"Wed, 01 Mar 2000 00:00:00 GMT", 2),
            (b"Sun, 28 Feb 2100 23:59:58 GMT", b"Mon, 01 Mar 2100 00:00:00 GMT", 2),
            (b"Sun, 06 Nov 1994 08:49:37 GMT", b"Sun, 06 Nov 1994 08:49:37 GMT", 0),
            (b"Sun, 06 Nov 1994 08:49:37 GMT", b"Sun, 06 Nov 1994 08:49:36 GMT", 0),
            (b"Sun, 06 Nov 1994 08:49:37 GMT", b"Fri, 31 Dec 9999 23:59:59 GMT", 3600),
            (b"Sun, 06 Nov 1994 08:49:37 GMT", b"Sunday, 06-Nov-94 08:49:37 GMT", None),
            (b"Sun, 06 Nov 1994 08:49:37 GMT", b"Sun, 06 anF 1994 08:49:37 GMT", None),
            (b"Sun, 06 Nov 1994 08:49:37 GMT", b"Sun, 06 Nov 199x 08:49:37 GMT", None),
            (b"today", b"Sun, 06 Nov 1994 08:49:37 GMT", None),
        ):
            with self.subTest(value):
                found = self.fields(b"Date: " + date, b"Retry-After: " + value)
                self.assertEqual(found.retry_after_s, seconds)
        # Two dates that differ are no reason to refuse an answer.
        self.assertEqual(self.fields(b"Date: a", b"Date: b").status, 200)

    def test_interim_responses_are_skipped_up_to_eight(self):
        data = b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n"
        final = b"HTTP/1.1 200 OK\r\n\r\n"
        self.assertEqual(self.read(data * 8 + final).status, 200)
        self.refused("protocol", self.read, data * 9 + final)

    def test_switching_protocols_is_refused(self):
        e = self.refused("status", self.read, b"HTTP/1.1 101 Switching\r\n\r\n")
        self.assertEqual(e.args, ("status", 101))

    def test_too_much_is_refused(self):
        start = b"HTTP/1.1 200 OK\r\n"
        for name, data in (
            ("status line", b"HTTP/1.1 200 " + b"a" * 2000),
            ("status line with end", b"HTTP/1.1 200 " + b"a" * 1010 + b"\r\n\r\n"),
            ("line that matters", start + b"Content-Length: 5" + b" " * 1020 + b"\r\n\r\n"),
            ("line without end", start + b"X: " + b"a" * 40000),
            ("block", start + (b"X: " + b"a" * 900 + b"\r\n") * 37 + b"\r\n"),
            ("block of long lines", start + (b"X: " + b"a" * 9000 + b"\r\n") * 4 + b"\r\n"),
            ("number", start + b"X: a\r\n" * 257 + b"\r\n"),
        ):
            with self.subTest(name):
                self.refused("headers", self.read, data)

    def test_just_enough_is_taken(self):
        start = b"HTTP/1.1 200 OK\r\n"
        for data in (
            start + b"X: " + b"a" * 1019 + b"\r\n\r\n",
            start + b"X: a\r\n" * 256 + b"\r\n",
            start + (b"X: " + b"a" * 9000 + b"\r\n") * 3 + b"\r\n",
        ):
            self.assertEqual(self.read(data).status, 200)
        long = start + b"X: " + b"a" * 3000 + b"\r\n\r\n"
        self.assertEqual(self.read(long, line=3010).status, 200)

    def test_long_lines_that_do_not_matter_are_passed_over(self):
        for n in (1018, 1019, 1020, 1021, 1022, 2040, 2047, 5000):
            for end in (b"\r\n", b"\n"):
                data = (
                    b"HTTP/1.1 200 OK\r\nX: " + b"a" * n + end + b"Content-Length: 5\r\n\r\nhello"
                )
                step = 1 if n < 1022 else 97
                for pieces in (data, [data[i : i + step] for i in range(0, len(data), step)]):
                    w = wire(pieces)
                    found = finish(head.read(w))
                    self.assertEqual(found.length, 5)
                    self.assertEqual(read_all(Response(w, 200, 0, 5, 5, None)), b"hello")
        # An entity tag of that length is none.
        self.assertEqual(
            self.fields(b'ETag: "' + b"a" * 1500 + b'"', b"Content-Length: 5").etag, None
        )

    def test_a_location_may_have_2_kb(self):
        for n in (5, 900, 1011, 1012, 1013, 1014, 1500, 2047):
            for end in (b"\r\n", b"\n"):
                text = b"HTTP/1.1 302 F\r\nLocation: /" + b"a" * n + end + b"X: y\r\n\r\n"
                for pieces in (text, [text[i : i + 7] for i in range(0, len(text), 7)]):
                    self.assertEqual(self.read(pieces).location, "/" + "a" * n)
        start = b"HTTP/1.1 302 F\r\nlocation: /"
        self.refused("url", self.read, start + b"a" * 5000 + b"\r\n\r\n")
        # Of no redirect it does not matter.
        self.assertEqual(self.fields(b"Location: /" + b"a" * 5000).location, "")

    def test_endless_headers_end(self):
        stream = Stream([b"HTTP/1.1 200 OK\r\n"] + [b"X: aaaa\r\n"] * 900)
        w = Wire(stream, Limits(), stream.clock)
        self.refused("headers", finish, head.read(w))
        self.assertGreaterEqual(len(stream.pieces), 600)

    def test_an_end_inside_the_head_is_a_reset(self):
        data = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
        for n in range(len(data)):
            self.refused("reset", self.read, data[:n])

    def test_an_unknown_limit_is_a_mistake(self):
        for name in ("lines", "__init__"):
            with self.assertRaises(TypeError):
                Limits(**{name: 1})


class TestBody(Case):
    def body(self, pieces, length=None, chunked=False, **limits):
        w = wire(pieces, **limits)
        return Response(w, 200, 0, length, length, None, chunked)

    def test_a_length_ends_the_body(self):
        for pieces in (b"hello, and more", single(b"hello, and more")):
            for size in (1, 3, 5, 50):
                r = self.body(pieces, 5)
                self.assertEqual(read_all(r, size), b"hello")
                self.assertEqual(r.readinto(bytearray(1)), 0)

    def test_without_a_length_the_close_ends_it(self):
        self.assertEqual(read_all(self.body([b"hel", None, b"lo"])), b"hello")
        self.assertEqual(read_all(self.body([])), b"")

    def test_an_empty_body_has_no_bytes(self):
        self.assertEqual(read_all(self.body(b"rest", 0)), b"")

    def test_bytes_behind_the_head_come_first(self):
        w = wire([b"line\r\nhel", b"lo"])
        self.assertEqual(w.line(100, "headers"), b"line")
        self.assertEqual(read_all(Response(w, 200, 0, 5, 5, None), 2), b"hello")

    def test_an_early_end_is_short(self):
        for n in range(5):
            e = self.refused("short", read_all, self.body(b"hello"[:n], 5))
            self.assertEqual(e.args[1], n)

    def test_chunks_are_joined(self):
        for data, body in (
            (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
            (b"1\r\nh\r\n1\r\ne\r\n3\r\nllo\r\n0\r\n\r\n", b"hello"),
            (b"5\nhello\n0\n\n", b"hello"),
            (b"00000005\r\nhello\r\n000\r\n\r\n", b"hello"),
            (b"5;a=b\r\nhello\r\n0;c\r\n\r\n", b"hello"),
            (b"5  \r\nhello\r\n0\r\n\r\n", b"hello"),
            (b"5\r\nhello\r\n0\r\nTrailer: x\r\nOther: y\r\n\r\nrest", b"hello"),
            (b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2),
            (b"0\r\n\r\n", b""),
            (b"0000000000000005\r\nhello\r\n" + b"0" * 16 + b"\r\n\r\n", b"hello"),
            (b" 5\r\nhello\r\n0\r\n\r\n", b"hello"),
            (b"5;" + b"x" * 90 + b"\r\nhello\r\n0;" + b"y" * 1500 + b"\r\n\r\n", b"hello"),
            (b"5;" + b"x" * 2200 + b"\r\nhello\r\n0\r\n\r\n", b"hello"),
            # The last chunk came; what ends it is missing.
            (b"5\r\nhello\r\n0\r\n", b"hello"),
            (b"5\r\nhello\r\n0\r\nX: y", b"hello"),
            (b"5\r\nhello\r\n0\r\nX: " + b"y" * 1500, b"hello"),
        ):
            for pieces in (data, single(data)):
                for size in (1, 4, 50):
                    with self.subTest(data=data, size=size):
                        self.assertEqual(read_all(self.body(pieces, None, True), size), body)

    def test_bad_chunks_are_refused(self):
        for data in (
            b"\r\nhello",
            b";x\r\nhello",
            b"x\r\nhello",
            b"-5\r\nhello",
            b"+5\r\nhello",
            b"0x5\r\nhello",
            b"1_0\r\nhello",
            b"5 5\r\nhello",
            b"80000000\r\nhello",
            b"fffffffff\r\nhello",
            b"0" * 20 + b"5\r\nhello",
            b"5;" + b"x" * 40000 + b"\r\nhello",
            b"5\r\nhelloX\r\n0\r\n\r\n",
            b"5\r\nhello0\r\n\r\n",
            b"5" * 40 + b"\r\n",
        ):
            with self.subTest(data):
                self.refused("protocol", read_all, self.body(data, None, True))

    def test_a_missing_last_chunk_is_short(self):
        data = b"5\r\nhello\r\n0\r\n\r\n"
        for n in range(len(data) - 2):
            with self.subTest(n):
                self.refused("short", read_all, self.body(data[:n], None, True))

    def test_endless_trailers_are_refused(self):
        self.refused("headers", read_all, self.body(b"0\r\n" + b"X: a\r\n" * 257, None, True))
        self.refused("headers", read_all, self.body(b"0\r\nX: " + b"a" * 40000, None, True))

    def test_chunks_that_differ_from_the_range_are_refused(self):
        data = b"5\r\nhello\r\n0\r\n\r\n"
        self.assertEqual(read_all(self.body(data, 5, True)), b"hello")
        self.refused("short", read_all, self.body(data, 6, True))
        self.refused("protocol", read_all, self.body(data, 4, True))

    def test_the_connection_closes_at_the_end_and_on_errors(self):
        for data, length in ((b"hello", 5), (b"hell", 5)):
            stream = Stream(data)
            r = Response(Wire(stream, Limits(), stream.clock), 200, 0, length, None, None)
            try:
                read_all(r)
            except TransportError:
                pass
            self.assertEqual(stream.closed, 1)
            r.close()
            self.assertEqual(stream.closed, 1)

    def test_an_error_of_the_stream_passes(self):
        self.refused("reset", read_all, self.body([b"he", TransportError("reset", 104)], 5))
        data = [b"5\r\nhello\r\n", TransportError("reset", 104)]
        self.refused("reset", read_all, self.body(data, None, True))


class TestPace(Case):
    def test_silence_is_a_timeout(self):
        stream = Stream([b"he", Ellipsis])
        r = Response(Wire(stream, Limits(), stream.clock), 200, 0, 5, 5, None)
        self.assertEqual(self.refused("timeout", read_all, r).args, ("timeout", 15000))
        self.assertLessEqual(stream.clock.now, 16000)
        self.assertEqual(stream.closed, 1)

    def test_a_busy_reader_is_not_late(self):
        clock = Clock()
        stream = Stream([b"he", None, None, b"llo"], clock)
        r = Response(Wire(stream, Limits(), clock), 200, 0, 5, 5, None)
        buf = bytearray(5)
        self.assertEqual(r.readinto(buf), 2)
        clock.sleep(100000)
        self.assertIsNone(r.readinto(buf))
        self.assertEqual(r.readinto(buf), 3)

    def drip(self, gap_ms, count):
        stream = Stream([b"x", None, None] * count)
        r = Response(
            Wire(stream, Limits(poll_ms=gap_ms // 2), stream.clock), 200, 0, count, 0, None
        )
        return read_all(r)

    def test_a_slow_drip_is_refused(self):
        self.refused("slow", self.drip, 1000, 200)

    def test_a_slow_drip_above_the_minimum_is_taken(self):
        self.assertEqual(len(self.drip(12, 6000)), 6000)
