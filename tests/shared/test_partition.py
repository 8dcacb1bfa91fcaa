import struct
import unittest
from binascii import unhexlify

import vector_files
from ota.errors import FlashError
from ota.flash import Region
from ota.partition import Partitions, layout, tobudos
from ota.partition.text import place, text

_GUIDE = unhexlify("20640001960000000078000800d0020800d00208009803080098030800f80308")
_BASE = 0x08000000
_ORDER = {"ip": ("active", "ota", "kv"), "pp": ("active", "backup", "ota", "kv")}
_OPTION = {"active": "-a", "backup": "-b", "ota": "-o", "kv": "-k"}


class _Device:
    """As much of a driver as reading a table needs."""

    def __init__(self, size=256 * 1024, sector_size=2048, program_size=8, data=b""):
        self.size = size
        self.sector_size = sector_size
        self.program_size = program_size
        self.data = data

    def read(self, offset, buf):
        data = self.data[offset : offset + len(buf)]
        buf[:] = data + b"\xff" * (len(buf) - len(data))


def _vectors():
    return [
        (v["name"], v["layout"], unhexlify(v["hex"]), v["args"].split())
        for v in vector_files.load_json("tobudos/ptbl.json")["vectors"]
    ]


def _table(mode, spans, version=(0, 1)):
    """A table with the right checksum, whatever its entries are."""
    data = bytearray(tobudos.MAGIC + bytes(version) + bytes(4))
    for start, end in spans:
        data += struct.pack("<II", start, end)
    data[4] = tobudos.checksum(data)
    return bytes(data)


class TestTobudos(unittest.TestCase):
    def _refused(self, word, *args):
        with self.assertRaises(FlashError) as caught:
            tobudos.parse(*args)
        self.assertEqual(caught.exception.reason, word)

    def test_check_value_of_the_crc(self):
        self.assertEqual(tobudos.crc8(b"123456789"), 0xA2)
        self.assertEqual(tobudos.crc8(b"56789", tobudos.crc8(b"1234")), 0xA2)

    def test_every_vector_is_read(self):
        for name, mode, data, args in _vectors():
            with self.subTest(name=name):
                for given in ("", mode):
                    for tail in (b"", b"\xff" * 64):
                        table = tobudos.parse(data + tail, 8, given)
                        self.assertEqual(table.mode, mode)
                        self.assertEqual(table.version, args[args.index("-v") + 1])
                        self.assertEqual([e[0] for e in table.entries], list(_ORDER[mode]))
                        for entry, device, start, size in table.entries:
                            self.assertEqual(device, "")
                            want = args[args.index(_OPTION[entry]) + 1].split(",")
                            self.assertEqual([start, start + size], [int(a, 16) for a in want])

    def test_reserved_bytes_are_ignored(self):
        for _, mode, data, _ in _vectors():
            for reserved in (b"\x7f\x00\x00", b"\xff\xff\xff"):
                self.assertEqual(tobudos.parse(data[:5] + reserved + data[8:], 8).mode, mode)

    def test_every_truncation_is_refused(self):
        for name, _, data, _ in _vectors():
            for n in range(len(data)):
                with self.subTest(name=name, n=n), self.assertRaises(FlashError):
                    tobudos.parse(memoryview(data)[:n], 8)
                with self.subTest(name=name, n=n, blank=True), self.assertRaises(FlashError):
                    tobudos.parse(data[:n] + b"\xff" * (64 - n), 8)

    def test_every_single_bit_flip_is_refused_outside_the_reserved_bytes(self):
        for name, mode, data, _ in _vectors():
            for bit in range(len(data) * 8):
                flipped = bytearray(data + b"\xff" * 8)
                flipped[bit // 8] ^= 1 << bit % 8
                if bit // 8 in (5, 6, 7):
                    self.assertEqual(tobudos.parse(flipped, 8).mode, mode)
                else:
                    with self.subTest(name=name, bit=bit), self.assertRaises(FlashError):
                        tobudos.parse(flipped, 8)

    def test_damaged_ping_pong_table_never_passes_for_in_position(self):
        # Every version gives another pair of checksums; in some, one bad bit of the crc
        # turns the one into the other.
        spans = ((0x1000, 0x3000), (0x3000, 0x5000), (0x5000, 0x6000), (0x6000, 0x7000))
        close = 0
        for major in range(2):
            for minor in range(256):
                data = bytearray(_table("pp", spans, (major, minor)))
                self.assertEqual(tobudos.parse(data, 8).mode, "pp")
                other = tobudos.checksum(data[:32])
                data[4] = other
                if other != tobudos.checksum(data):
                    self._refused("mode", data, 8)
                    close += 1
        self.assertGreaterEqual(close, 500)

    def test_mode_can_be_given_when_something_follows(self):
        self._refused("mode", _GUIDE + b"user data", 8)
        self.assertEqual(tobudos.parse(_GUIDE + b"user data", 8, "ip").mode, "ip")

    def test_words(self):
        pp = [d for _, m, d, _ in _vectors() if m == "pp"][0]
        self._refused("mode", _GUIDE, 8, "xx")
        self._refused("bounds", b"", 8)
        self._refused("bounds", _GUIDE[:31], 8)
        self._refused("bounds", pp[:39], 8)
        self._refused("magic", b"\xff" * 40, 8)
        self._refused("magic", b"\x64\x20" + _GUIDE[2:], 8)
        self._refused("crc", pp, 8, "ip")
        self._refused("crc", _GUIDE[:4] + b"\x97" + _GUIDE[5:], 8)
        a, b, c = (0x1000, 0x3000), (0x3000, 0x5000), (0x5000, 0x6000)
        self._refused("bounds", _table("ip", (a, (0x3000, 0x3000), c)), 8)
        self._refused("bounds", _table("ip", (a, (0x5000, 0x3000), c)), 8)
        self._refused("bounds", _table("pp", (a, b, c, (0x6000, 0x6000))), 8)
        self._refused("align", _table("ip", (a, (0x3000, 0x3004), c)), 8)
        self.assertEqual(tobudos.parse(_table("ip", (a, (0x3000, 0x3004), c)), 4).mode, "ip")
        self._refused("overlap", _table("ip", (a, (0x2FF8, 0x5000), c)), 8)
        self._refused("overlap", _table("ip", (a, b, (0x0FF8, 0x1008))), 8)
        self._refused("overlap", _table("pp", (a, b, c, a)), 8)

    def test_bounds_come_before_the_crc(self):
        bad = bytearray(_table("ip", ((0x3000, 0x1000), (0x3000, 0x5000), (0x5000, 0x6000))))
        bad[4] ^= 1
        self._refused("bounds", bad, 8)

    def test_table_is_read_from_flash(self):
        for _, mode, data, _ in _vectors():
            flash = _Device(data=bytes(100) + data)
            self.assertEqual(tobudos.read(Region(flash, 100, 2048)).mode, mode)
            self.assertEqual(tobudos.read(Region(flash, 100, len(data))).mode, mode)
            with self.assertRaises(FlashError) as caught:
                tobudos.read(Region(flash, 100, 2048), 1 << 20)
            self.assertEqual(caught.exception.reason, "align")
        with self.assertRaises(FlashError) as caught:
            tobudos.read(Region(_Device(), 0, 2048))
        self.assertEqual(caught.exception.reason, "magic")


class TestPartitions(unittest.TestCase):
    def setUp(self):
        self.flash = _Device()
        self.devices = {"onchip": (self.flash, _BASE)}

    def _refused(self, word, function, *args):
        with self.assertRaises(FlashError) as caught:
            function(*args)
        self.assertEqual(caught.exception.reason, word)

    def test_guide_table_becomes_regions(self):
        t = tobudos.parse(_GUIDE, 8)
        p = layout.fill(Partitions(self.devices, t.version, t.mode), t.entries)
        self.assertEqual((p.version, p.mode), ("0.1", "ip"))
        self.assertEqual(p.names(), ["active", "ota", "kv"])
        self.assertEqual([n for n, _ in p.items()], p.names())
        self.assertEqual((p.get("ota").offset, p.get("ota").size), (0x2D000, 0xC800))
        self.assertTrue("kv" in p)
        self.assertFalse("backup" in p)
        self._refused("config", p.get, "backup")

    def test_box_of_the_guide(self):
        t = tobudos.parse(_GUIDE, 8)
        p = layout.fill(Partitions(self.devices, t.version, t.mode), t.entries)
        self.assertEqual(
            text(p),
            [
                "+-------------------------------------+",
                "|Active APP |  0x08007800 |    153600 |",
                "|   OTA     |  0x0802d000 |     51200 |",
                "|   KV      |  0x08039800 |     24576 |",
                "| Version   |      0.1    |           |",
                "+-------------------------------------+",
            ],
        )

    def test_box_of_several_devices(self):
        nor = _Device(1 << 20, 4096)
        devices = {"onchip": (self.flash, _BASE), "nor0": (nor, None)}
        entries = [
            ("active", "", _BASE + 0x8000, 0x4000),
            ("backup", "nor0", 0x1000, 0x4000),
            ("fonts_and_images", "nor0", 0x80000, 0x4000),
        ]
        p = layout.fill(Partitions(devices), entries)
        lines = text(p)
        self.assertEqual(place(p, "backup"), ("nor0", 0x1000))
        self.assertEqual(place(p, "active"), ("onchip", _BASE + 0x8000))
        self.assertEqual(len(lines), 5)
        for line in lines:
            self.assertEqual(len(line), len(lines[0]), line)
        self.assertEqual(lines[2], "|  Backup         |  0x00001000 |     16384 | nor0     |")
        self.assertEqual((p.version, p.mode), ("", ""))

    def test_odd_edges_are_rounded_inwards(self):
        p = self._filled([("a", "onchip", 100, 3 * 2048)])
        self.assertEqual((p.get("a").offset, p.get("a").size), (2048, 2 * 2048))
        self._refused("align", self._filled, [("a", "onchip", 100, 2 * 2048 - 101)])

    def test_overlaps_are_refused(self):
        for a, b in (
            ((0, 4096), (2048, 4096)),
            ((2048, 4096), (0, 4096)),
            ((0, 8192), (2048, 2048)),
            ((2048, 2048), (0, 8192)),
            ((0, 4097), (4096, 4096)),  # by one byte, although the whole sectors do not
        ):
            entries = [("a", "onchip", a[0], a[1]), ("b", "onchip", b[0], b[1])]
            with self.subTest(a=a, b=b):
                self._refused("overlap", self._filled, entries)
        same = [("a", "onchip", 0, 4096), ("a", "onchip", 8192, 4096)]
        self._refused("config", self._filled, same)
        devices = dict(self.devices)
        devices["other"] = (_Device(), None)
        apart = [("a", "onchip", 0, 4096), ("b", "other", 0, 4096), ("c", "onchip", 4096, 4096)]
        p = layout.fill(Partitions(devices), apart)
        self.assertEqual(p.names(), ["a", "b", "c"])
        self.assertEqual(place(p, "b"), ("other", 0))

    def _filled(self, entries):
        return layout.fill(Partitions(self.devices), entries)

    def test_places_outside_the_devices_are_refused(self):
        make = self._filled
        self._refused("config", make, [("a", "nor0", 0, 4096)])
        self._refused("bounds", make, [("a", "", 0, 4096)])
        self._refused("bounds", make, [("a", "", _BASE + 254 * 1024, 4096)])
        self._refused("bounds", make, [("a", "onchip", 254 * 1024, 4096)])
        self._refused("bounds", make, [("a", "onchip", -1, 4096)])
        self._refused("bounds", make, [("a", "onchip", 0, 0)])
        both = {"one": (_Device(), _BASE), "two": (_Device(), _BASE)}
        self._refused("config", layout.fill, Partitions(both), [("a", "", _BASE, 4096)])
