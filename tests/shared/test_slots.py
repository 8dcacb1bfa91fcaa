import unittest

from faults import Random
from ota import state
from ota.errors import FlashError, StateError
from ota.state import record as slots


def _record():
    r = slots.Record()
    r.state, r.active, r.previous, r.tries = state.TRIAL, 1, 0, 2
    r.reason, r.secret, r.sequence, r.floor = 106, b"a secret", 0x80000001, 7
    r.month = 23
    r.package, r.seen, r.refused = b"package!", b"\xff" * 8, b"refused!"
    r.image = slots.Image("12345.12345.123", 9, 0xFFFFFFFF, bytes(range(32)))
    r.old = slots.Image("1.9", 3, 1, b"\x01" * 32)
    r.new = slots.Image()
    return r


def _first(r):
    """The record as layout 1 had it."""
    data = r.pack()
    return b"\1" + data[1:8] + b"\x07\0\0\0" + data[16:40] + data[48:]


def _values(r):
    images = [(i.version, i.floor, i.size, i.digest) for i in (r.image, r.old, r.new)]
    return [
        r.state, r.active, r.previous, r.tries, r.reason, r.secret, r.sequence, r.floor,
        r.month, r.package, r.seen, r.refused, images,
    ]  # fmt: skip


def _idle():
    r = slots.Record()
    r.image = slots.Image("0.1", 0, 5000, b"\x03" * 32)
    return r


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
        self.assertEqual(len(data), 216)
        back = slots.unpack(data)
        # An empty image comes back with 32 zero bytes for its digest: it has no size.
        r.new.digest = bytes(32)
        self.assertEqual(_values(back), _values(r))
        self.assertEqual(back.pack(), data)

    def test_fresh_record_round_trip(self):
        fresh = slots.Record()
        fresh.state = state.RESCUE
        back = slots.unpack(fresh.pack())
        self.assertEqual((back.state, back.previous, back.image.size), (6, slots.NONE, 0))
        self.assertEqual(back.image.version, "")

    def test_places_are_those_of_the_format(self):
        # docs/format.md section 5
        data = _record().pack()
        self.assertEqual(data[:6], bytes((2, state.TRIAL, 1, 0, 2, 23)))
        self.assertEqual(data[6:24], b"\x6a\0" + b"a secret" + b"\x01\0\0\x80\x07\0\0\0")
        self.assertEqual(data[24:48], b"package!" + b"\xff" * 8 + b"refused!")
        self.assertEqual(data[48:64], b"12345.12345.123\0")
        self.assertEqual(data[64:72], b"\x09\0\0\0\xff\xff\xff\xff")
        self.assertEqual(data[72:104], bytes(range(32)))
        self.assertEqual(data[104:108], b"1.9\0")

    def test_record_of_the_layout_before_is_read(self):
        r = _record()
        data = _first(r)
        self.assertEqual(len(data), 204)
        back = slots.unpack(data, "ab")
        # One place was for both, and nothing proved a mark.
        self.assertEqual((back.refused, back.secret), (r.seen, bytes(8)))
        r.refused, r.secret, r.new.digest = r.seen, bytes(8), bytes(32)
        self.assertEqual(_values(back), _values(r))
        self.assertEqual(len(back.pack()), slots.SIZE)

    def test_month_is_a_byte(self):
        # Of a record that an older library wrote it is 0.
        data = bytearray(_record().pack())
        for month in (0, 1, 255):
            data[5] = month
            self.assertEqual(slots.unpack(data).month, month)
            self.assertEqual(slots.unpack(data).pack(), data)

    def test_every_other_length_is_corrupt(self):
        for data in (_record().pack(), _first(_record())):
            wrong = [data[:n] for n in range(len(data))] + [data + b"\0", data + data]
            for bad in wrong:
                with self.subTest(length=len(bad)):
                    self._corrupt(bad)

    def test_wrong_layout_state_or_text_is_corrupt(self):
        data = _record().pack()
        for at, value in (
            (0, 0), (0, 1), (0, 3), (0, 255), (1, 7), (1, 255), (48, 0xFF), (104, 0xC3),
            (48, 46), (48, 45), (54, 46), (53, 49), (63, 49), (51, 0),
        ):  # fmt: skip
            with self.subTest(at=at, value=value):
                bad = bytearray(data)
                bad[at] = value
                self._corrupt(bad)

    def _corrupt(self, data, strategy=""):
        with self.assertRaises(FlashError) as cm:
            slots.unpack(data, strategy)
        self.assertEqual(cm.exception.reason, "corrupt")

    def test_what_no_strategy_leaves_is_corrupt(self):
        cases = 0
        for strategy, good in (
            ("ab", ((0, 1), (1, 0), (0, 255), (1, 255))),
            ("pingpong", ((0, 1), (0, 255))),
            ("inplace", ((0, 2), (0, 255))),
        ):
            for active in range(256):
                for previous in (0, 1, 2, 3, 254, 255):
                    r = _record()
                    r.active, r.previous = active, previous
                    if (active, previous) in good:
                        self.assertEqual(slots.unpack(r.pack(), strategy).active, active)
                    else:
                        self._corrupt(r.pack(), strategy)
                        cases += 1
        self.assertEqual(cases, 3 * 6 * 256 - 8)
        r = _record()
        r.state, r.new = state.APPLY, r.image
        self._corrupt(r.pack(), "ab")

    def test_state_without_its_image_is_corrupt(self):
        for now, lacks in (
            (state.IDLE, "image"), (state.TRIAL, "image"), (state.BACK, "image"),
            (state.BACK, "old"), (state.TRIAL, "old"), (state.FETCH, "new"),
            (state.READY, "new"), (state.APPLY, "new"),
        ):  # fmt: skip
            r = _record()
            r.state, r.new = now, r.image
            slots.unpack(r.pack())
            setattr(r, lacks, slots.Image())
            with self.subTest(state=now, lacks=lacks):
                self._corrupt(r.pack())
        r = _record()
        r.state, r.previous = state.BACK, slots.NONE
        self._corrupt(r.pack())

    def test_secrets_differ(self):
        r = slots.Record()
        drawn = [r.secret]
        for _ in range(20):
            r.renew()
            drawn.append(r.secret)
        self.assertEqual(len(set(drawn)), 21)
        self.assertEqual([len(s) for s in drawn], [8] * 21)


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

    def test_value_that_makes_no_record_is_read_as_rescue(self):
        kv = _Kv()
        s = slots.Slots(kv, "app", "ab")
        for now in range(7):
            r = _record()
            r.state, r.new, r.active, r.previous = now, r.image, 1, 7
            kv.values["ota.app"] = r.pack()
            back = s.load()
            with self.subTest(state=now):
                self.assertEqual((back.state, back.reason), (state.RESCUE, 90))
                kept = back.active, back.sequence, back.floor, back.month, back.seen, back.refused
                self.assertEqual(kept, (1, r.sequence, r.floor, r.month, r.seen, r.refused))
                confirmed = now in (state.IDLE, state.FETCH, state.READY)
                self.assertEqual(back.new.size, r.image.size if confirmed else 0)
                self.assertEqual((back.image.size, back.old.size), (0, 0))
                # From there all that leaves RESCUE is allowed.
                back.state = state.FETCH
                back.new = r.image
                s.save(back)
                self.assertEqual(s.load().state, state.FETCH)
        for value in (b"", b"\2", b"\xff" * 216, bytes(204), b"\1" * 204, b"x" * 1000):
            kv.values["ota.app"] = value
            back = s.load()
            self.assertEqual((back.state, back.reason, back.previous), (6, 90, 255))
            self.assertIn(back.active, (0, 1))

    def test_any_bytes_make_a_record(self):
        dice = Random(5)
        kv = _Kv()
        good = [r.pack() for r in (_record(), _idle())]
        for n in range(300):
            data = bytearray(good[n & 1])
            for _ in range(1 + n % 5):
                data[dice.below(len(data) if n & 2 else 60)] = dice.below(256)
            kv.values["ota.app"] = bytes(data)
            for strategy in ("ab", "pingpong", "inplace"):
                r = slots.Slots(kv, "app", strategy).load()
                slots.Slots(kv, "app", strategy).save(r)
                self.assertIn(r.active, (0, 1))
                kv.values["ota.app"] = bytes(data)
