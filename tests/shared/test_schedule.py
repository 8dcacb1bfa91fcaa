"""When a device asks: spread, jitter, pauses after failures, the maintenance window."""

import unittest

from ota.errors import FlashError
from ota.source import schedule

LOW, HIGH = bytes(4), b"\xff" * 4
NOON = 1764504000  # 2025-11-30 12:00 UTC, by date(1)


def low(n):
    assert n == 4
    return LOW


def high(n):
    assert n == 4
    return HIGH


class TestPolls(unittest.TestCase):
    def test_first_is_within_the_spread(self):
        for poll, most in (({}, 600), ({"spread_s": 86400}, 86400), ({"spread_s": 0}, 0)):
            self.assertEqual(
                (schedule.first_s(poll, low), schedule.first_s(poll, high)), (0, most)
            )

    def test_every_length_is_as_likely(self):
        poll = {"spread_s": 3}
        got = [schedule.first_s(poll, lambda n, i=i: bytes([i, 0, 0, 0])) for i in range(256)]
        self.assertEqual([got.count(i) for i in range(5)], [64, 64, 64, 64, 0])

    def test_next_has_jitter(self):
        for poll, least, most in (
            ({}, 77760, 95040), ({"every_s": 1000, "jitter": 50}, 500, 1500),
            ({"every_s": 3600, "jitter": 0}, 3600, 3600), ({"every_s": 0}, 1, 1),
        ):  # fmt: skip
            with self.subTest(poll=poll):
                self.assertEqual(schedule.next_s(poll, low), least)
                self.assertEqual(schedule.next_s(poll, high), most)

    def test_failures_pause_and_double(self):
        poll = {"every_s": 86400, "retry_s": 60, "jitter": 0}
        got = [schedule.next_s(poll, low, n) for n in (0, 1, 2, 3, 9, 10, 1000)]
        self.assertEqual(got, [86400, 60, 120, 240, 15360, 15360, 15360])
        # Never later than without.
        self.assertEqual(schedule.next_s({"every_s": 200, "jitter": 0}, low, 5), 200)


class TestWindow(unittest.TestCase):
    def closed(self, window, now, rand=low, **more):
        more["window"] = window
        return schedule.closed_s(more, now, rand)

    def test_always_open_without_one_and_without_a_clock(self):
        self.assertEqual(schedule.closed_s({}, NOON, high), 0)
        self.assertEqual(self.closed(["01:00", "02:00"], 0, high), 0)

    def test_open_and_closed(self):
        hour = 3600
        for window, now, want in (
            (["11:00", "13:00"], NOON, 0), (["12:00", "12:01"], NOON, 0),
            (["12:00", "12:01"], NOON + 60, 24 * hour - 60), (["11:00", "12:00"], NOON, 23 * hour),
            (["13:30", "14:00"], NOON, 90 * 60),
            # Over midnight.
            (["22:00", "02:00"], NOON, 10 * hour), (["22:00", "02:00"], NOON + 11 * hour, 0),
            (["22:00", "02:00"], NOON + 13 * hour, 0),
            (["22:00", "02:00"], NOON - 10 * hour, 20 * hour),
            (["00:00", "24:00"], NOON, 0), (["13:00", "13:00"], NOON, 0),
        ):  # fmt: skip
            with self.subTest(window=window, now=now - NOON):
                self.assertEqual(self.closed(window, now), want)

    def test_local_time(self):
        for offset, want in ((3600, 0), (-3600, 7200), (5 * 3600 + 1800, 19.5 * 3600), (0, 3600)):
            with self.subTest(offset=offset):
                self.assertEqual(self.closed(["13:00", "14:00"], NOON, utc_offset_s=offset), want)

    def test_devices_begin_one_after_the_other(self):
        self.assertEqual(self.closed(["13:00", "14:00"], NOON, high), 3600 + 600)
        self.assertEqual(self.closed(["13:00", "14:00"], NOON, high, spread_s=9999), 3600 + 1800)
        self.assertEqual(self.closed(["11:00", "13:00"], NOON, high), 0)

    def test_windows_that_are_none(self):
        for window in (
            ["1", "2"], ["25:00", "26:00"], ["12:60", "13:00"], ["-1:00", "2:00"], ["a:b", "c:d"],
            ["", ""], ["12:00"], [12, 13], "12", ["12:00", "13:00", "14:00"],
        ):  # fmt: skip
            with self.subTest(window=window):
                for now in (NOON, 0):  # also before the clock is set
                    with self.assertRaises(FlashError) as got:
                        self.closed(window, now)
                    self.assertEqual(got.exception.args[:2], ("config", "poll.window"))


if __name__ == "__main__":
    unittest.main()
