"""The public key inside of a certificate, and what is refused of hostile ones."""

import hashlib
import unittest
from binascii import hexlify

from delta_stream import Noise
from ota.errors import TransportError
from ota.transport.pins import Pins, public_key


def item(tag, *contents):
    """One item of DER."""
    body = b"".join(contents)
    if len(body) < 128:
        return bytes((tag, len(body))) + body
    if len(body) < 256:
        return bytes((tag, 0x81, len(body))) + body
    return bytes((tag, 0x82, len(body) >> 8, len(body) & 255)) + body


def certificate(key, version=True, subject=b"lamp", signature=70):
    """A certificate's bytes: all that stands before the key, and something behind it."""
    name = item(0x30, item(0x31, item(0x30, item(6, b"\x55\x04\x03"), item(12, subject))))
    times = item(0x30, item(23, b"261126000000Z"), item(23, b"361126000000Z"))
    algorithm = item(0x30, item(6, b"\x2a\x86\x48\xce\x3d\x04\x03\x02"))
    fields = [item(2, b"\x05" * 20), algorithm, name, times, name, key, item(0xA3, b"x" * 40)]
    if version:
        fields.insert(0, item(0xA0, item(2, b"\x02")))
    return item(0x30, item(0x30, *fields), algorithm, item(3, b"s" * signature))


KEY = item(0x30, item(0x30, item(6, b"\x2a\x86\x48\xce\x3d\x02\x01")), item(3, b"\0" + b"k" * 64))
LONG = item(0x30, item(0x30, item(6, b"\x2a")), item(3, b"\0" + b"k" * 270))


def pin(data):
    return hexlify(hashlib.sha256(data).digest()).decode()


class TestPins(unittest.TestCase):
    def test_the_key_is_found(self):
        for key in (KEY, LONG):
            for version in (True, False):
                for subject in (b"x", b"y" * 90, b"z" * 200):
                    with self.subTest(key=len(key), version=version, subject=len(subject)):
                        data = certificate(key, version, subject)
                        self.assertEqual(bytes(public_key(data)), key)

    def test_who_may_pass(self):
        data = certificate(KEY)
        for pins, good in (
            ([pin(KEY)], True), ([pin(data)], True), ([pin(LONG), pin(KEY)], True),
            ([pin(LONG)], False), ([pin(KEY[2:])], False), ([pin(b"")], False),
        ):  # fmt: skip
            with self.subTest(pins=pins):
                check = Pins(pins).check
                self.assertEqual(check(memoryview(data), 0) == 0, good)
                # What signed it has no say.
                self.assertEqual(check(memoryview(data), 1), 0)

    def test_pins_that_are_none(self):
        for pins in ([], [""], ["00"], [pin(KEY) + "00"], ["zz" * 32], [7], 7, None, pin(KEY)):
            with self.subTest(pins=pins):
                with self.assertRaises(TransportError) as cm:
                    Pins(pins)
                self.assertEqual(cm.exception.args[:2], ("tls", "pins"))

    def test_cut_off_and_damaged(self):
        data = certificate(KEY, signature=9)
        check = Pins([pin(KEY)]).check
        for n in range(len(data)):
            self.assertTrue(check(data[:n], 0), n)
        noise = Noise(3)
        for _ in range(2000):
            bad = bytearray(data)
            for _ in range(1 + noise.below(3)):
                bad[noise.below(len(bad))] = noise.below(256)
            # Passes only where the key is untouched.
            self.assertTrue(check(bytes(bad), 0) or KEY in bad)
        for bad in (b"", b"\x30", b"\x30\x80", b"\x30\x84\x7f\xff\xff\xff" + bytes(40), bytes(99)):
            self.assertTrue(check(bad, 0))


if __name__ == "__main__":
    unittest.main()
