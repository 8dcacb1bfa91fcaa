import unittest

from ota import slots, state
from ota.errors import FlashError, StateError


def _record():
    r = slots.Record()
    r.state, r.active, r.previous, r.tries = state.TRIAL, 1, 0, 2
    r.reason, r.journal, r.sequence, r.floor = 106, 0xFFFFFFFE, 0x80000001, 7
    r.month = 23
    r.package, r.seen = b"package!", b"\xff" * 8
    r.image = slots.Image("12345.12345.123", 9, 0xFFFFFFFF, bytes(range(32)))
    r.old = slots.Image("1.9", 3, 1, b"\x01" * 32)
    r.new = slots.Image()
    return r


def _values(r):
    images = [(i.version, i.floor, i.size, i.digest) for i in (r.image, r.old, r.new)]
    return [
        r.state, r.active, r.previous, r.tries, r.reason, r.journal, r.sequence, r.floor,
        r.month, r.package, r.seen, images,
    ]  # fmt: skip


class _Kv:
    """A store without flash, as Slots uses it."""

    def __init__(self):
        self.values = {}

    def get(self, key):
        return self.values.get(key)

    def set(self, key, value):
        self.values[key] = bytes(value)


class TestRecord(unittest.TestCase):
    def test_round_trip(self):
        r = _record()
        data = r.pack()
        self.assertEqual(len(data), 204)
        back = slots.unpack(data)
        # An empty image comes back with 32 zero bytes for its digest: it has no size.
        r.new.digest = bytes(32)
        self.assertEqual(_values(back), _values(r))
        self.assertEqual(back.pack(), data)

    def test_fresh_record_round_trip(self):
        back = slots.unpack(slots.Record().pack())
        self.assertEqual((back.state, back.previous, back.image.size), (0, slots.NONE, 0))
        self.assertEqual(back.image.version, "")

    def test_places_are_those_of_the_format(self):
        # docs/format.md section 5
        data = _record().pack()
        self.assertEqual(data[:6], bytes((1, state.TRIAL, 1, 0, 2, 23)))
        self.assertEqual(data[6:20], b"\x6a\0" + b"\xfe\xff\xff\xff\x01\0\0\x80\x07\0\0\0")
        self.assertEqual(data[20:36], b"package!" + b"\xff" * 8)
        self.assertEqual(data[36:52], b"12345.12345.123\0")
        self.assertEqual(data[52:60], b"\x09\0\0\0\xff\xff\xff\xff")
        self.assertEqual(data[60:92], bytes(range(32)))
        self.assertEqual(data[92:96], b"1.9\0")

    def test_month_is_a_byte(self):
        # Of a record that an older library wrote it is 0.
        data = bytearray(_record().pack())
        for month in (0, 1, 255):
            data[5] = month
            self.assertEqual(slots.unpack(data).month, month)
            self.assertEqual(slots.unpack(data).pack(), data)

    def test_every_other_length_is_corrupt(self):
        data = _record().pack()
        wrong = [data[:n] for n in range(len(data))] + [data + b"\0", data + data]
        for bad in wrong:
            with self.subTest(length=len(bad)):
                with self.assertRaises(FlashError) as cm:
                    slots.unpack(bad)
                self.assertEqual(cm.exception.reason, "corrupt")

    def test_wrong_layout_state_or_text_is_corrupt(self):
        data = _record().pack()
        for at, value in ((0, 0), (0, 2), (0, 255), (1, 7), (1, 255), (36, 0xFF), (92, 0xC3)):
            with self.subTest(at=at, value=value):
                bad = bytearray(data)
                bad[at] = value
                with self.assertRaises(FlashError) as cm:
                    slots.unpack(bad)
                self.assertEqual(cm.exception.reason, "corrupt")


class TestSlots(unittest.TestCase):
    def test_load_before_the_first_save_is_none(self):
        self.assertIsNone(slots.Slots(_Kv(), "app", "ab").load())

    def test_save_and_load(self):
        kv = _Kv()
        r = _record()
        slots.Slots(kv, "app", "ab").save(r)
        self.assertEqual(list(kv.values), ["ota.app"])
        back = slots.Slots(kv, "app", "ab").load()
        self.assertEqual(back.pack(), r.pack())

    def test_each_component_has_its_own_record(self):
        kv = _Kv()
        one, two = slots.Slots(kv, "app", "ab"), slots.Slots(kv, "fonts", "ab")
        r = _record()
        one.save(r)
        self.assertIsNone(two.load())
        r.state = state.IDLE
        two.save(r)
        self.assertEqual((one.load().state, two.load().state), (state.TRIAL, state.IDLE))
        self.assertEqual((one.key, two.key), ("ota.app", "ota.fonts"))

    def test_size_is_that_of_a_record(self):
        self.assertEqual(len(_record().pack()), slots.SIZE)

    def test_move_that_is_not_allowed_writes_nothing(self):
        kv = _Kv()
        s = slots.Slots(kv, "app", "ab")
        r = _record()
        s.save(r)
        before = kv.values["ota.app"]
        for new in (state.FETCH, state.READY, state.APPLY):
            with self.subTest(new=new):
                r.state = new
                with self.assertRaises(StateError) as cm:
                    s.save(r)
                self.assertEqual(cm.exception.args, ("state", state.TRIAL, new))
                self.assertEqual(kv.values["ota.app"], before)
