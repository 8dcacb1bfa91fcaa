import unittest
from binascii import unhexlify

import vector_files
from ota.crypto import Keys, hmac
from ota.crypto.rsa import Rsa
from ota.errors import SignatureError

_RSA = "wycheproof/rsa_signature_3072_sha256_test.json"
_HMAC = "wycheproof/hmac_sha256_test.json"
# A modulus of our own making: 2048 bits, odd; only its form matters where it is used.
_N = "c1" + "5a" * 254 + "0f"
_SECRET = "000102030405060708090a0b0c0d0e0f"
_HMAC_ID = "db8e7c190f4a6aea"
_RSA_ID = "0d9f06cc51215607"


def _rsa_groups():
    return vector_files.load_json(_RSA)["testGroups"]


class TestRsa(unittest.TestCase):
    def test_wycheproof_verdicts(self):
        # "acceptable" is one signature without the NULL of the DigestInfo: refused here, the
        # expected message is compared whole.
        valid = refused = 0
        for group in _rsa_groups():
            public = group["publicKey"]
            n = public["modulus"]
            key = Rsa(n[2:] if n[:2] == "00" else n, int(public["publicExponent"], 16))
            for t in group["tests"]:
                got = key.verify(unhexlify(t["msg"]), memoryview(unhexlify(t["sig"])))
                self.assertEqual(got, t["result"] == "valid", t["tcId"])
                valid += got
                refused += not got
        self.assertEqual((valid, refused), (8, 251))

    def test_one_flipped_bit_is_refused(self):
        group = _rsa_groups()[0]
        public = group["publicKey"]
        n = public["modulus"]
        key = Rsa(n[2:] if n[:2] == "00" else n, int(public["publicExponent"], 16))
        t = [t for t in group["tests"] if t["result"] == "valid" and len(t["msg"]) >= 2][0]
        msg = bytearray(unhexlify(t["msg"]))
        sig = bytearray(unhexlify(t["sig"]))
        self.assertTrue(key.verify(memoryview(msg), memoryview(sig)))
        for i in range(0, len(sig) * 8, 41):
            sig[i // 8] ^= 1 << i % 8
            self.assertFalse(key.verify(msg, sig), i)
            sig[i // 8] ^= 1 << i % 8
        for i in range(len(msg) * 8):
            msg[i // 8] ^= 1 << i % 8
            self.assertFalse(key.verify(msg, sig), i)
            msg[i // 8] ^= 1 << i % 8

    def test_signature_of_another_length_is_refused(self):
        # The same number, written with a byte more or less.
        tried = 0
        for group in _rsa_groups():
            n = group["publicKey"]["modulus"]
            key = Rsa(n[2:] if n[:2] == "00" else n, int(group["publicKey"]["publicExponent"], 16))
            for one in group["tests"]:
                if one["result"] == "valid":
                    msg, sig = unhexlify(one["msg"]), unhexlify(one["sig"])
                    self.assertTrue(key.verify(msg, sig))
                    self.assertFalse(key.verify(msg, b"\0" + sig))
                    self.assertFalse(key.verify(msg, bytes(128) + sig))
                    self.assertFalse(key.verify(msg, sig + b"\0"))
                    self.assertFalse(key.verify(msg, sig[:-1]))
                    tried += 1
        self.assertEqual(tried, 8)

    def test_signature_not_below_the_modulus_is_refused(self):
        group = _rsa_groups()[0]
        n = unhexlify(group["publicKey"]["modulus"])[-384:]
        key = Rsa(n.hex(), 65537)
        t = [t for t in group["tests"] if t["result"] == "valid"]
        # The same number modulo n, written larger: fits 384 bytes for some of the signatures.
        tried = 0
        for one in t:
            larger = int.from_bytes(unhexlify(one["sig"]), "big") + int.from_bytes(n, "big")
            if larger >> 3072 == 0:
                tried += 1
                self.assertFalse(key.verify(unhexlify(one["msg"]), larger.to_bytes(384, "big")))
        self.assertFalse(key.verify(b"", n))
        self.assertGreaterEqual(tried, 1)

    def test_malformed_keys_are_refused(self):
        Rsa(_N, 3)
        for n, e in (
            (None, 3),
            (5, 3),
            ("", 3),
            ("zz" * 256, 3),
            (_N[:-1], 3),
            (_N[2:], 3),  # 2040 bits
            ("00" + _N, 3),
            ("41" + _N[2:], 3),  # 2047 bits
            ("c1" + _N + _N, 3),  # more than 4096 bits
            (_N[:-1] + "e", 3),  # even
            (_N, None),
            (_N, "65537"),
            (_N, 1),
            (_N, 2),
            (_N, 65536),
            (_N, -3),
            (_N, 2**32 + 1),
            (_N, True),
        ):
            with self.subTest(n=n, e=e), self.assertRaises(ValueError):
                Rsa(n, e)


class TestHmac(unittest.TestCase):
    def test_wycheproof_verdicts(self):
        # Tags of 128 bits are out of scope (only the whole MAC is a signature here): of
        # those tests the valid ones are refused for their length.
        valid = refused = short = 0
        for group in vector_files.load_json(_HMAC)["testGroups"]:
            for t in group["tests"]:
                key = hmac.Hmac(t["key"])
                got = key.verify(memoryview(unhexlify(t["msg"])), memoryview(unhexlify(t["tag"])))
                if group["tagSize"] < 256:
                    self.assertFalse(got, t["tcId"])
                    short += 1
                else:
                    self.assertEqual(got, t["result"] == "valid", t["tcId"])
                    valid += got
                    refused += not got
        self.assertEqual((valid, refused, short), (33, 54, 87))

    def test_comparison(self):
        self.assertTrue(hmac.equal(b"abc", memoryview(b"abc")))
        self.assertFalse(hmac.equal(b"abc", b"abd"))
        self.assertFalse(hmac.equal(b"abc", b"ab"))

    def test_malformed_secrets_are_refused(self):
        for secret in (None, 7, "", "00" * 15, "0" * 33, "gg" * 16, "00" * 257):
            with self.subTest(secret=secret), self.assertRaises(ValueError):
                hmac.Hmac(secret)


class TestKeys(unittest.TestCase):
    def test_ids_follow_the_rule(self):
        # From `openssl dgst -sha256` over b"ota-key-v1" + type + b"\0" + material.
        self.assertEqual(Keys([{"type": "hmac", "secret": _SECRET}]).ids(), [_HMAC_ID])
        self.assertEqual(Keys([{"type": "rsa", "n": _N, "e": 65537}]).ids(), [_RSA_ID])

    def test_the_right_key_is_asked(self):
        keys = Keys(
            [
                {"type": "hmac", "secret": _SECRET, "id": _HMAC_ID, "owner": "desk"},
                {"type": "rsa", "n": _N, "e": 65537},
            ]
        )
        self.assertEqual(len(keys), 2)
        ident = unhexlify(_HMAC_ID)
        self.assertTrue(ident in keys)
        self.assertTrue(memoryview(ident) in keys)
        self.assertFalse(b"\0" * 8 in keys)
        self.assertEqual(keys.signature_length(ident), 32)
        self.assertEqual(keys.signature_length(unhexlify(_RSA_ID)), 256)
        tag = hmac.mac(unhexlify(_SECRET), b"message")
        self.assertIsNone(keys.verify(memoryview(ident), memoryview(b"message"), tag))
        for key, message, signature, word in (
            (ident, b"Message", tag, "signature"),
            (ident, b"message", tag[:16], "signature"),
            (ident, b"message", b"", "signature"),
            (unhexlify(_RSA_ID), b"message", tag, "signature"),
            (unhexlify(_RSA_ID), b"message", b"\x01" * 256, "signature"),
            (b"\0" * 8, b"message", tag, "key"),
            (ident[:7], b"message", tag, "key"),
            (b"", b"message", tag, "key"),
        ):
            with self.subTest(word=word), self.assertRaises(SignatureError) as caught:
                keys.verify(key, message, signature)
            self.assertEqual(caught.exception.reason, word)

    def test_no_keys_trust_nothing(self):
        with self.assertRaises(SignatureError) as caught:
            Keys([]).verify(b"\0" * 8, b"", b"")
        self.assertEqual(caught.exception.reason, "key")

    def test_malformed_entries_are_refused(self):
        for entry in (
            None,
            "rsa",
            {},
            {"type": "ed448"},
            {"type": "rsa"},
            {"type": "rsa", "n": _N},
            {"type": "rsa", "e": 3},
            {"type": "hmac"},
            {"type": "hmac", "secret": _SECRET, "id": "0011223344556677"},
            {"type": "hmac", "secret": _SECRET, "id": None},
        ):
            with self.subTest(entry=entry), self.assertRaises(ValueError):
                Keys([entry])
