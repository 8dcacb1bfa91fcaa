"""The source of a static server, against scripted connections."""

import unittest

from fakenet import Net, Stream, finish, read_all
from ota.errors import ManifestError, TransportError
from ota.source import static
from ota.source.static import Static

URL = "http://host/a/manifest.ota"


def answer(data, length=True):
    head = b"HTTP/1.1 200 OK\r\n" + (b"Content-Length: %d\r\n" % len(data) if length else b"")
    return head + b"\r\n" + data


class TestStatic(unittest.TestCase):
    def source(self, *streams, **options):
        self.net = Net(*streams)
        options["connect"] = self.net.connect
        options["clock"] = self.net.clock
        return Static(URL, options)

    def test_manifest_comes_whole(self):
        for length in (True, False):
            source = self.source(Stream([answer(b"manifest", length)]))
            self.assertEqual(finish(source.check()), b"manifest")
            source.close()
            self.assertEqual(self.net.left_open(), 0)

    def test_long_manifest_is_not_read(self):
        for length in (True, False):
            stream = Stream([answer(bytes(8193), length)] + [bytes(1000)] * 99)
            with self.assertRaises(ManifestError) as cm:
                finish(self.source(stream).check())
            self.assertEqual(cm.exception.args, ("size", 8193))
            self.assertGreaterEqual(len(stream.pieces), 98)
            self.assertEqual(self.net.left_open(), 0)

    def test_the_package_comes_the_way_the_manifest_came(self):
        pieces = [answer(b"manifest"), None, answer(b"package")]
        source = self.source(Stream(pieces), headers={"X-Id": "1"}, retries=0)
        self.assertEqual(finish(source.check()), b"manifest")
        self.assertEqual(self.fetch(source, "p.ota", 7), b"package")
        source.close()
        source.close()
        self.assertEqual((len(self.net.opened), self.net.left_open()), (1, 0))
        lines = [line for line, fields in self.net.requests(0) if fields["X-Id"] == "1"]
        self.assertEqual(lines, ["GET /a/manifest.ota HTTP/1.1", "GET /a/p.ota HTTP/1.1"])

    def test_a_manifest_is_tried_three_times(self):
        failures = [TransportError("connect", 111), answer(b"manifest")[:-3], answer(b"manifest")]
        for asked, retries, word in (
            (3, {}, None),
            (3, {"retries": 8}, None),
            (2, {"retries": 1}, "retries"),
            (1, {"retries": 0}, "connect"),
        ):
            source = self.source(*failures, **retries)
            source._options["sleep"] = self.net.clock.sleep
            if word is None:
                self.assertEqual(finish(source.check()), b"manifest")
            else:
                with self.assertRaises(TransportError) as cm:
                    finish(source.check())
                self.assertEqual(cm.exception.reason, word)
            self.assertEqual(len(self.net.asked), asked)

    def fetch(self, source, url, size):
        return read_all(finish(source.open(url, size)(0)), 100)

    def test_package_lies_beside_the_manifest(self):
        source = self.source(answer(b"package"), headers={"X-Id": "1"})
        self.assertEqual(self.fetch(source, "p.ota", 7), b"package")
        line, fields = self.net.request(0)
        self.assertEqual((line, fields["X-Id"]), ("GET /a/p.ota HTTP/1.1", "1"))

    def test_another_server_gets_no_field_of_the_caller(self):
        for url in ("http://other/p", "http://host:81/p"):
            source = self.source(answer(b"package"), headers={"X-Id": "1"})
            self.assertEqual(self.fetch(source, url, 7), b"package")
            self.assertFalse("X-Id" in self.net.request(0)[1])

    def test_package_of_another_size_is_not_read(self):
        for size in (6, 8, 700):
            stream = Stream([answer(b"package")])
            with self.assertRaises(TransportError) as cm:
                self.fetch(self.source(stream), "p.ota", size)
            self.assertEqual(cm.exception.args, ("length", 7))
            self.assertEqual(self.net.left_open(), 0)

    def test_a_manifest_that_had_nothing_is_not_read_again(self):
        tagged = answer(b"manifest").replace(b"\r\n", b'\r\nETag: "v1"\r\n', 1)
        unchanged = b'HTTP/1.1 304 Not Modified\r\nETag: "v1"\r\n\r\n'
        known = {}

        def ask(reply, says_none):
            self.net = Net(Stream([reply]))
            options = {"connect": self.net.connect, "clock": self.net.clock}
            source = Static(URL, options, None, known)
            data = finish(source.check())
            if says_none:
                source.report("none", 0)
            source.close()
            self.assertEqual(self.net.left_open(), 0)
            return data, self.net.request(0)[1].get("If-None-Match")

        # One that leads to an update comes as often as it is asked for.
        self.assertEqual(ask(tagged, False), (b"manifest", None))
        self.assertEqual(ask(tagged, True), (b"manifest", None))
        self.assertEqual(ask(unchanged, False), (None, '"v1"'))
        # A new one; a server without tags, or with weak ones.
        newer = tagged.replace(b"v1", b"v2")
        self.assertEqual(ask(newer, True), (b"manifest", '"v1"'))
        self.assertEqual(ask(newer, False), (b"manifest", '"v2"'))
        known.clear()
        for reply in (answer(b"manifest"), tagged.replace(b'"v1"', b'W/"v1"')):
            self.assertEqual(ask(reply, True), (b"manifest", None))
            self.assertEqual(known, {})

    def test_still_the_same_counts_for_a_while_only(self):
        # Nobody signs it, and the tag may be that of another manifest.
        unchanged = b"HTTP/1.1 304 Not Modified\r\n\r\n"
        for passes, want in (
            (lambda i: 0, 8),  # the clock is not set: seven times
            (lambda i: 1767225600 + i, 8),
            (lambda i: 1767225600 + i * 43200, 2),  # a day
            (lambda i: 1767225600 - i, 1),  # set back
        ):
            before, now = static.clock.now, [0]
            static.clock.now = lambda now=now: now[0]
            try:
                now[0] = passes(0)
                known = {URL: ('"v1"', 0, 0, now[0])}
                for i in range(1, 20):
                    now[0] = passes(i)
                    self.net = Net(Stream([unchanged]), Stream([answer(b"manifest")]))
                    options = {"connect": self.net.connect, "clock": self.net.clock, "retries": 0}
                    if URL not in known:
                        break
                    try:
                        finish(Static(URL, options, None, known).check())
                    except TransportError:
                        break  # a 304 to a question without a tag
                self.assertEqual(i, want)
                self.assertEqual(known, {})
                self.assertFalse("If-None-Match" in self.net.request(0)[1])
            finally:
                static.clock.now = before

    def test_a_question_that_fails_forgets_the_tag(self):
        for failure in (
            TransportError("connect", 111), b"HTTP/1.1 500 No\r\n\r\n", answer(bytes(8193)),
            answer(b"half")[:-1], answer(b"<html>"),
        ):  # fmt: skip
            known = {URL: ('"v1"', 0, 0, 0)}
            self.net = Net(failure)
            options = {"connect": self.net.connect, "clock": self.net.clock, "retries": 0}
            source = Static(URL, options, None, known)
            try:
                finish(source.check())
            except (TransportError, ManifestError):
                pass
            self.assertEqual(known, {})

    def test_one_that_has_expired_comes_again(self):
        # A server that always says "still the same" must not keep a device from seeing that.
        end = 1767225600
        before = static.clock.now
        try:
            for now, tag in ((end, '"v1"'), (end + 1, None), (0, '"v1"')):
                self.net = Net(Stream([answer(b"manifest")]))
                options = {"connect": self.net.connect, "clock": self.net.clock}
                static.clock.now = lambda now=now: now
                finish(Static(URL, options, None, {URL: ('"v1"', end, 0, 0)}).check())
                self.assertEqual(self.net.request(0)[1].get("If-None-Match"), tag)
        finally:
            static.clock.now = before
