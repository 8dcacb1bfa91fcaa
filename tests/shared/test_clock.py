"""The time of boards that do not know it."""

import sys
import time
import unittest

from ota import clock
from ota.transport import head

NEW_YEAR_2026 = 1767225600
FROM_1970, FROM_2000 = 1970, 2000
GMTIME = time.gmtime
TICKS_ADD = getattr(
    time, "ticks_add", lambda ticks, ms: ticks + ms
)  # on a board they go round in days
BETWEEN = 946684800  # seconds between the two
MONTH_S = 30 * 86400
JAN_2025 = 1735689600
_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def seconds_of(year, month, day, hour, minute, second):
    """Seconds since 1970, by other code than that under test."""
    text = "Day, %02d %s %d %02d:%02d:%02d GMT"
    found = text % (day, _NAMES[month - 1], year, hour, minute, second)
    return head.seconds(found.encode()) - head.seconds(b"Thu, 01 Jan 1970 00:00:00 GMT")


class Board:
    """The time module of a board; its machine; ntptime of a network. says: seconds of its epoch.

    rtc: an error that setting the clock ends in, or None.
    """

    def __init__(self, says, epoch=FROM_1970, answer=None):
        self.says = says
        self.epoch = epoch
        self.answer = answer
        self.asked = []
        self.host = None
        self.rtc = None
        self.set = []  # what the clock was set to

    def time(self):
        return self.says

    def gmtime(self, seconds):
        return GMTIME(seconds + (BETWEEN if self.epoch == FROM_2000 else 0))

    def RTC(self):
        if isinstance(self.rtc, AttributeError):
            raise self.rtc
        return self

    def datetime(self, t):
        if self.rtc:
            raise self.rtc
        year, month, day, weekday, hour, minute, second, subsecond = t
        assert 1 <= weekday <= 7 and subsecond == 0
        self.set.append(t[:3])
        self.says = seconds_of(year, month, day, hour, minute, second)
        if self.epoch == FROM_2000:
            self.says -= BETWEEN

    def settime(self):
        self.asked.append(self.host)
        if isinstance(self.answer, Exception):
            raise self.answer
        self.says = self.answer


class Case(unittest.TestCase):
    NAMES = ("ntptime", "machine")

    def setUp(self):
        self.before = clock.time, clock.ticks_ms, [sys.modules.get(n) for n in self.NAMES]
        self.ticks = 0
        clock.ticks_ms = lambda: self.ticks
        self.forget()

    def tearDown(self):
        self.forget()
        clock.time, clock.ticks_ms, modules = self.before
        for name, module in zip(self.NAMES, modules):
            if module:
                sys.modules[name] = module
            else:
                sys.modules.pop(name, None)

    def forget(self):
        """As after a restart."""
        clock._guess = clock._asked = None
        clock._most = 0

    def board(self, *args):
        board = Board(*args)
        clock.time = board
        for name in self.NAMES:
            sys.modules[name] = board
        return board

    def sleep(self, board, seconds):
        board.says += seconds
        self.ticks = TICKS_ADD(self.ticks, seconds * 1000)


class TestClock(Case):
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

    def test_a_clock_that_is_set_asks_once_and_again_after_an_hour(self):
        board = self.board(NEW_YEAR_2026, FROM_1970, NEW_YEAR_2026 + 7)
        for _ in range(3):
            self.assertTrue(clock.ensure(NEW_YEAR_2026 - 5, "pool"))
            self.assertEqual(board.asked, ["pool"])
            self.sleep(board, 1200)
        board.answer = NEW_YEAR_2026 + 3600
        self.assertTrue(clock.ensure(NEW_YEAR_2026 - 5, "pool"))
        self.assertEqual((len(board.asked), board.says), (2, NEW_YEAR_2026 + 3600))

    def test_a_clock_that_is_set_needs_no_answer(self):
        for answer in (OSError(110), 0, NEW_YEAR_2026 - 99, NEW_YEAR_2026 + 21 * 366 * 86400):
            with self.subTest(answer=answer):
                self.forget()
                board = self.board(NEW_YEAR_2026, FROM_1970, answer)
                for n in range(3):
                    self.assertTrue(clock.ensure(NEW_YEAR_2026 - 5, "pool"))
                    self.assertEqual((board.says, len(board.asked)), (NEW_YEAR_2026, n + 1))

    def test_a_wrong_answer_heals(self):
        # Forged, or of a server that does not know the time itself and says 0: in 2036.
        for answer in (4070908800, 2085978496, 2085978499, NEW_YEAR_2026 - 9, 5):
            for epoch, shift in ((FROM_1970, 0), (FROM_2000, BETWEEN)):
                with self.subTest(answer=answer, epoch=epoch):
                    self.forget()
                    board = self.board(1000, epoch, answer - shift)
                    self.assertFalse(clock.ensure(NEW_YEAR_2026, "pool"))
                    self.assertEqual((board.says, clock.now()), (1000, 0))
                    board.answer = NEW_YEAR_2026 + 50 - shift
                    self.assertTrue(clock.ensure(NEW_YEAR_2026, "pool"))
                    self.assertEqual((len(board.asked), clock.now()), (2, NEW_YEAR_2026 + 50))
        # One that could be true is believed, for an hour.
        self.forget()
        board = self.board(1000, FROM_1970, NEW_YEAR_2026 + 9 * 366 * 86400)
        self.assertTrue(clock.ensure(NEW_YEAR_2026, "pool"))
        self.sleep(board, 3600)
        board.answer = NEW_YEAR_2026 + 50
        self.assertTrue(clock.ensure(NEW_YEAR_2026, "pool"))
        self.assertEqual(clock.now(), NEW_YEAR_2026 + 50)

    def test_a_clock_that_cannot_be_set_back_is_not_believed(self):
        board = self.board(1000, FROM_1970, 4070908800)
        board.rtc = OSError(5)
        self.assertFalse(clock.ensure(NEW_YEAR_2026, "pool"))
        self.assertEqual((board.says, clock.now(), clock.now(True)), (4070908800, 0, 0))
        board.answer = NEW_YEAR_2026 + 50
        self.assertTrue(clock.ensure(NEW_YEAR_2026, "pool"))
        self.assertEqual(clock.now(), NEW_YEAR_2026 + 50)

    def test_an_absurd_clock_heals_without_a_server(self):
        for answer, bound, says in ((None, NEW_YEAR_2026, NEW_YEAR_2026), (None, 0, 4070908800)):
            self.forget()
            board = self.board(4070908800)
            self.assertEqual(clock.ensure(bound), bound > 0)
            self.assertEqual((board.says, clock.now()), (says, bound))

    def test_one_that_is_not_asks(self):
        for says in (0, BETWEEN, NEW_YEAR_2026 - 100):
            for epoch, shift in ((FROM_1970, 0), (FROM_2000, BETWEEN)):
                with self.subTest(says=says, epoch=epoch):
                    board = self.board(says - shift, epoch, NEW_YEAR_2026 + 9 - shift)
                    self.forget()
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


class TestBound(Case):
    """A board that does not know the time, but what has surely passed."""

    BOUND = NEW_YEAR_2026 + 86400 + 3600 + 62

    def test_the_clock_is_set_to_it(self):
        for says in (0, BETWEEN, self.BOUND - 1):
            for epoch, shift in ((FROM_1970, 0), (FROM_2000, BETWEEN)):
                with self.subTest(says=says, epoch=epoch):
                    board = self.board(says - shift, epoch)
                    self.assertTrue(clock.ensure(self.BOUND))
                    self.assertEqual(board.set, [(2026, 1, 2)])
                    self.assertEqual(board.says, self.BOUND - shift)
                    self.assertEqual(clock.now(), self.BOUND)
                    # Once: from there it goes on.
                    self.sleep(board, 100)
                    self.assertTrue(clock.ensure(self.BOUND))
                    self.assertEqual(len(board.set), 1)
                    self.assertEqual(clock.now(), self.BOUND + 100)

    def test_one_that_says_more_is_left_alone(self):
        for says in (self.BOUND, self.BOUND + 1, self.BOUND + 10**8):
            board = self.board(says)
            self.assertTrue(clock.ensure(self.BOUND))
            self.assertEqual((board.set, clock.now(True)), ([], says))

    def test_without_a_bound_nothing_is_set(self):
        for bound in (0, 5, JAN_2025):
            board = self.board(0)
            self.assertFalse(clock.ensure(bound))
            self.assertEqual((board.set, board.says), ([], 0))

    def test_ports_whose_clock_cannot_be_set(self):
        for error in (
            AttributeError("RTC"), TypeError("id"), ValueError("year"), OverflowError(), OSError(5)
        ):  # fmt: skip
            with self.subTest(error=error):
                board = self.board(0)
                board.rtc = error
                self.assertFalse(clock.ensure(self.BOUND))
                self.assertEqual((clock.now(), clock.now(True)), (0, 0))

    def test_a_time_server_that_fails_leaves_the_clock_alone(self):
        # A clock set to the bound would look like one that was set, also after a restart: nobody
        # would ask the server again.
        for answer in (NEW_YEAR_2026 - 1, OSError(110)):
            board = self.board(0, FROM_1970, answer)
            self.assertFalse(clock.ensure(self.BOUND, "pool"))
            self.assertEqual((board.says, clock.now()), (0, 0))

    def test_sure_is_only_what_somebody_set(self):
        board = self.board(0)
        self.assertEqual(clock.now(True), 0)
        clock.ensure(self.BOUND)
        for days in (1, 5, 6, 6, 0):
            self.sleep(board, days * 86400)
            self.assertEqual(clock.now(True), 0)
            self.assertGreaterEqual(clock.now(), self.BOUND)
        board.says += 7200
        self.assertEqual(clock.now(True), board.says)
        self.sleep(board, 5)
        self.assertEqual(clock.now(True), board.says)

    def test_a_guess_does_not_keep_the_time_server_from_being_asked(self):
        board = self.board(0, FROM_1970, self.BOUND + 30)
        clock.ensure(self.BOUND)
        self.sleep(board, 9)
        self.assertTrue(clock.ensure(self.BOUND, "pool"))
        self.assertEqual(board.asked, ["pool"])
        self.assertEqual(clock.now(True), self.BOUND + 30)

    def test_a_later_bound_sets_it_again(self):
        board = self.board(0)
        clock.ensure(self.BOUND)
        self.assertTrue(clock.ensure(self.BOUND + 86400))
        self.assertEqual(board.set, [(2026, 1, 2), (2026, 1, 3)])
        self.assertEqual(clock.now(True), 0)


class TestMonth(Case):
    def test_since(self):
        self.assertEqual(clock.since(0), 0)
        for month, day in ((1, (2025, 1, 31)), (12, (2025, 12, 27)), (255, (2045, 12, 12))):
            self.assertEqual(clock.since(month), seconds_of(*day, 0, 0, 0))

    def test_of_a_manifest_where_the_clock_is_set(self):
        self.board(JAN_2025 + 20 * MONTH_S + 5)
        for kept, issued, want in (
            (0, 0, 0), (0, 5, 0), (7, 0, 7), (0, JAN_2025, 0), (0, JAN_2025 + MONTH_S - 1, 0),
            (0, JAN_2025 + MONTH_S, 1), (3, JAN_2025 + 9 * MONTH_S, 9),
            # It never goes back.
            (9, JAN_2025 + 8 * MONTH_S, 9), (30, JAN_2025 + 8 * MONTH_S, 30),
            # Nobody can have issued it later than now.
            (3, JAN_2025 + 21 * MONTH_S, 20), (0, 0xFFFFFFFF, 20), (20, 0xFFFFFFFF, 20),
        ):  # fmt: skip
            with self.subTest(kept=kept, issued=issued):
                self.assertEqual(clock.later(kept, issued), want)

    def test_where_it_is_not_set_a_year_more_at_the_most(self):
        board = self.board(0)
        for kept, issued, want in (
            (0, JAN_2025 + 7 * MONTH_S, 7), (0, 0xFFFFFFFF, 12), (12, 0xFFFFFFFF, 24),
            (250, 0xFFFFFFFF, 255), (255, 0xFFFFFFFF, 255), (40, JAN_2025, 40),
        ):  # fmt: skip
            with self.subTest(kept=kept, issued=issued):
                self.assertEqual(clock.later(kept, issued), want)
        # More than what is known otherwise: the firmware is younger than the record.
        clock.ensure(clock.since(30))
        self.sleep(board, 10)
        self.assertEqual(clock.later(3, 0xFFFFFFFF), 42)
        self.assertEqual(clock.later(33, 0xFFFFFFFF), 45)


if __name__ == "__main__":
    unittest.main()
