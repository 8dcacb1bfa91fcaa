"""The time of boards that do not know it."""

import sys
import unittest

from ota import clock

NEW_YEAR_2026 = 1767225600
FROM_1970, FROM_2000 = 1970, 2000
BETWEEN = 946684800  # seconds between the two


class Board:
    """The time module of a board; ntptime of a network. says: seconds of its epoch."""

    def __init__(self, says, epoch=FROM_1970, answer=None):
        self.says = says
        self.epoch = epoch
        self.answer = answer
        self.asked = []
        self.host = None

    def time(self):
        return self.says

    def gmtime(self, seconds):
        assert seconds == 0
        return (self.epoch, 1, 1, 0, 0, 0, 5, 1)

    def settime(self):
        self.asked.append(self.host)
        if isinstance(self.answer, Exception):
            raise self.answer
        self.says = self.answer


class TestClock(unittest.TestCase):
    def setUp(self):
        self.before = clock.time, sys.modules.get("ntptime")

    def tearDown(self):
        clock.time = self.before[0]
        if self.before[1]:
            sys.modules["ntptime"] = self.before[1]
        else:
            sys.modules.pop("ntptime", None)

    def board(self, *args):
        clock.time = sys.modules["ntptime"] = Board(*args)
        return clock.time

    def test_now(self):
        for says, epoch, want in (
            (NEW_YEAR_2026, FROM_1970, NEW_YEAR_2026), (12345, FROM_1970, 0),
            (NEW_YEAR_2026 - BETWEEN, FROM_2000, NEW_YEAR_2026), (12345, FROM_2000, 0),
            (BETWEEN, FROM_1970, 0),
            (1735689600, FROM_1970, 0), (1735689601, FROM_1970, 1735689601),
            (NEW_YEAR_2026 + 0.75, FROM_1970, NEW_YEAR_2026),
        ):  # fmt: skip
            with self.subTest(says=says, epoch=epoch):
                self.board(says, epoch)
                self.assertEqual(clock.now(), want)

    def test_a_clock_that_is_set_asks_nobody(self):
        board = self.board(NEW_YEAR_2026)
        self.assertTrue(clock.ensure(NEW_YEAR_2026 - 5, "pool"))
        self.assertEqual(board.asked, [])

    def test_one_that_is_not_asks(self):
        for says in (0, BETWEEN, NEW_YEAR_2026 - 100):
            for epoch, shift in ((FROM_1970, 0), (FROM_2000, BETWEEN)):
                with self.subTest(says=says, epoch=epoch):
                    board = self.board(says - shift, epoch, NEW_YEAR_2026 + 9 - shift)
                    self.assertTrue(clock.ensure(NEW_YEAR_2026, "pool.example"))
                    self.assertEqual(board.asked, ["pool.example"])

    def test_answers_that_are_none(self):
        # Before the firmware was built, long ago, nothing at all.
        for answer in (
            NEW_YEAR_2026 - 1, 0, OSError(110), OverflowError("rtc"), ValueError("short")
        ):  # fmt: skip
            with self.subTest(answer=answer):
                board = self.board(0, FROM_1970, answer)
                self.assertFalse(clock.ensure(NEW_YEAR_2026, "pool"))
                self.assertEqual(len(board.asked), 1)

    def test_a_port_without_the_module(self):
        self.board(0)
        sys.modules["ntptime"] = None
        if sys.implementation.name == "micropython":
            del sys.modules["ntptime"]
        self.assertFalse(clock.ensure(NEW_YEAR_2026, "pool"))

    def test_without_a_server_nobody_is_asked(self):
        board = self.board(0, FROM_1970, NEW_YEAR_2026)
        self.assertFalse(clock.ensure())
        self.assertEqual(board.asked, [])


if __name__ == "__main__":
    unittest.main()
