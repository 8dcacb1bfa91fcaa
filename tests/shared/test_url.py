import unittest

from ota.errors import TransportError
from ota.transport import url

GOOD = (
    ("http://host", ("http", "host", 80, "/")),
    ("HTTPS://Host.Example/a/B?c=d#e", ("https", "host.example", 443, "/a/B?c=d")),
    ("http://host:8080?x=1", ("http", "host", 8080, "/?x=1")),
    ("http://host:/", ("http", "host", 80, "/")),
    ("https://[2001:DB8::1]:444/p", ("https", "2001:db8::1", 444, "/p")),
    ("http://[::ffff:1.2.3.4]", ("http", "::ffff:1.2.3.4", 80, "/")),
    ("http://10.0.0.1/%20?a=%0d%0a", ("http", "10.0.0.1", 80, "/%20?a=%0d%0a")),
    ("http://h/a@b:c", ("http", "h", 80, "/a@b:c")),
    ("http://host.:81/a", ("http", "host", 81, "/a")),
    ("http://host./", ("http", "host", 80, "/")),
    ("http://host#a/b?c", ("http", "host", 80, "/")),
    ("http://host/a?b://c#d", ("http", "host", 80, "/a?b://c")),
    ("https://h/" + "a" * 2038, ("https", "h", 443, "/" + "a" * 2038)),
)
BAD = (
    "",
    "host/path",
    "/path",
    "ftp://host/",
    "file:///etc/passwd",
    "http:/host/",
    "http://",
    "http:///path",
    "http://user@host/",
    "http://user:secret@host/",
    "http://host\r\nX: y/",
    "http://host/a b",
    "http://host/a\nb",
    "http://host/a\x00b",
    "http://host/a\x7fb",
    "http://host/\u00e4",
    "http://h\u00f6st/",
    "http://host\\@other/",
    "http://ho%20st/",
    "http://host:0/",
    "http://host:65536/",
    "http://host:+80/",
    "http://host:80:80/",
    "http://host:8a/",
    "http://[::1/",
    "http://[::1]x/",
    "http://[host]/",
    "http://[]/",
    "http://::1/",
    "http://host/" + "a" * 2037,
    "http://" + "a" * 254 + "/",
    "http://./",
    "http://user@host./",
    "://host/",
)
JOINS = (
    ("/b", "http://h:81/b"),
    ("b?x", "http://h:81/1/2/b?x"),
    ("./b", "http://h:81/1/2/b"),
    ("../b", "http://h:81/1/b"),
    ("../../../b", "http://h:81/b"),
    ("..", "http://h:81/1/"),
    (".", "http://h:81/1/2/"),
    ("?y=/../", "http://h:81/1/2/3?y=/../"),
    ("b/../c/?z=../", "http://h:81/1/2/c/?z=../"),
    ("#f", "http://h:81/1/2/3"),
    ("//other/x", "http://other/x"),
    ("https://other:1/x#f", "https://other:1/x"),
)


class TestUrl(unittest.TestCase):
    def test_parse_takes_good_addresses_apart(self):
        for text, parts in GOOD:
            with self.subTest(text):
                self.assertEqual(url.parse(text), parts)

    def test_parse_refuses_everything_else(self):
        for text in BAD:
            with self.subTest(text):
                with self.assertRaises(TransportError) as caught:
                    url.parse(text)
                self.assertEqual(caught.exception.reason, "url")

    def test_join_follows_the_rules_of_relative_references(self):
        for location, whole in JOINS:
            with self.subTest(location):
                self.assertEqual(url.join("http://h:81/1/2/3?q=1/2#f", location), whole)

    def test_join_keeps_the_brackets_of_ipv6(self):
        self.assertEqual(url.join("https://[::1]/a", "/b"), "https://[::1]/b")

    def test_join_refuses_what_parse_refuses(self):
        for location in (
            "file:/etc/passwd",
            "ftp://h/",
            "javascript:1",
            "http:relative",
            "//user@h/",
            "/a\r\nX: y",
            "/a b",
            "",
            "//",
            "/" + "a" * 2048,
            "a" * 2040 + "/../" + "b" * 20,
        ):
            with self.subTest(location):
                with self.assertRaises(TransportError) as caught:
                    url.join("http://h/", location)
                self.assertEqual(caught.exception.reason, "url")

    def test_resolve_is_join_taken_apart(self):
        base = "http://h:81/1/2/3?q=1/2#f"
        for location, whole in JOINS:
            found = url.resolve(url.parse(base), location)
            self.assertEqual(found, url.parse(whole))
        long = "/" + "a" * 2047
        self.assertEqual(url.resolve(url.parse("http://h/b" + "c" * 999), long)[3], long)

    def test_a_location_is_quoted_as_browsers_do(self):
        for data, text in (
            (b"/a b", "/a%20b"),
            (b"/\xff\xc3\xa4?x= y", "/%FF%C3%A4?x=%20y"),
            (b'/a%20b|c"d', '/a%20b|c"d'),
            (b"", ""),
        ):
            self.assertEqual(url.quoted(data), text)
        # What could split a request stays what it is, and so does what is no host.
        for data in (b"/a\r\nX: y", b"/a\tb", b"/\x7f", b"http://h h/", b"http://h\xc3\xb6/"):
            with self.assertRaises(TransportError):
                url.resolve(("http", "h", 80, "/"), url.quoted(data))

    def test_authority_is_what_a_host_field_says(self):
        self.assertEqual(url.authority("http", "h", 80), "h")
        self.assertEqual(url.authority("https", "h", 80), "h:80")
        self.assertEqual(url.authority("https", "::1", 443), "[::1]")
        self.assertEqual(url.authority("http", "::1", 8080), "[::1]:8080")
