"""The way into a board's REPL, whatever its application does; the board is a double."""

import collections

import pytest
from otatool.board import repl
from otatool.errors import ToolError

_BANNER = b"raw REPL; CTRL-B to exit\r\n>"


class Serial:
    """A board on a serial port. stops: Ctrl-C that its application takes before it ends, None:
    it never does. noise: printed each time somebody looks."""

    def __init__(self, stops=1, noise=b"", raw=False, soft=True, app=b""):
        self.stops, self.noise, self.soft = stops, noise, soft
        self.mode = "raw" if raw else "runs"
        self.out = collections.deque(app)
        self.resets = 0

    @property
    def in_waiting(self):
        self.out.extend(self.noise)
        return len(self.out)

    def read(self, n=1):
        return bytes(self.out.popleft() for _ in range(min(n, len(self.out))))

    def write(self, data):
        for c in data:
            self._typed(c)

    def _typed(self, c):
        if c == 3 and self.mode == "runs":
            if self.stops is not None:
                self.stops -= 1
            if self.stops is not None and self.stops <= 0:
                self.mode = "prompt"
                self.out.extend(b"KeyboardInterrupt:\r\n>>> ")
        elif c == 3 and self.mode == "prompt":
            self.out.extend(b"\r\n>>> ")
        elif c == 1 and self.mode != "runs":
            self.mode = "raw"
            self.out.extend(b"\r\n" + _BANNER)
        elif c == 4 and self.mode == "raw":
            self.resets += 1
            self.noise = b""
            self.out.extend(b"OK\r\nMPY: soft reboot\r\n" + (_BANNER if self.soft else b""))
            self.mode = "raw" if self.soft else "prompt"


class Transport:
    def __init__(self, serial):
        self.serial, self.in_raw_repl, self.closed = serial, False, False

    def umount_local(self):
        pass

    def exit_raw_repl(self):
        self.in_raw_repl = False

    def close(self):
        self.closed = True


@pytest.fixture
def enter(monkeypatch):
    """Enter the REPL of a double; the clock goes on by itself."""
    clock = [0.0]

    def sleep(seconds):
        clock[0] += seconds

    def now():
        clock[0] += 0.001
        return clock[0]

    monkeypatch.setattr(repl.time, "sleep", sleep)
    monkeypatch.setattr(repl.time, "monotonic", now)

    def run(serial, **options):
        transport = Transport(serial)
        monkeypatch.setattr(repl, "SerialTransport", lambda *a, **k: transport)
        with repl.Repl("tty", **options):
            assert transport.in_raw_repl
            waits = bytes(serial.out)
        assert transport.closed
        return waits

    return run


@pytest.mark.parametrize("stops", [1, 2, 3, 40])
def test_an_application_that_catches_ctrl_c_a_few_times(stops, enter):
    serial = Serial(stops)
    # What exec needs to see is still there, and nothing else.
    assert enter(serial) == b">"
    assert serial.resets == 0


def test_what_is_in_the_raw_repl_already(enter):
    assert enter(Serial(raw=True)) == b">"


def test_an_application_that_printed_much(enter):
    assert enter(Serial(2, app=b"line\r\n" * 20000)) == b">"


def test_a_timer_that_prints_ends_in_a_soft_reset(enter):
    serial = Serial(noise=b"tick\r\n")
    assert enter(serial) == b">"
    assert serial.resets == 1


def test_a_board_that_does_not_come_back_in_the_raw_repl(enter):
    assert enter(Serial(noise=b"tick\r\n", soft=False)) == b">"


def test_one_that_never_stops_is_told_of(enter):
    said = []
    serial = Serial(None)
    with pytest.raises(ToolError, match="press it when asked"):
        enter(serial, line=said.append)
    assert said == [repl.WAITS]


def test_somebody_presses_the_button(enter):
    serial = Serial(None)

    def press(text):
        assert text == repl.WAITS
        serial.stops = 1

    assert enter(serial, line=press) == b">"
    # boot.py may have been interrupted: it runs again.
    assert serial.resets == 1


def test_fresh_is_a_soft_reset(enter):
    serial = Serial()
    enter(serial, fresh=True)
    assert serial.resets == 1
