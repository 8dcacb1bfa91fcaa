import unittest

from ota import package, strategy
from ota.errors import PolicyError
from ota.state import record as slots

# sys.implementation._mpy of boards, and what the header of a package says.
_RP2 = 0x1306  # armv6m
_STM32 = 0x1F06  # armv7emsp
_ESP32 = 0x2B06  # xtensawin
_UNIX = 0x0B06  # x64


class _Region:
    size = 100


class _Device:
    product = "p"
    component = "app"
    wbits = 12
    block_size = 4096

    def __init__(self, mpy):
        self.mpy = mpy

    def slot(self, number):
        return _Region


class TestNative(unittest.TestCase):
    def _admitted(self, needs, board):
        header = package.Header()
        header.product, header.target, header.mpy = "p", "app", needs
        header.wbits, header.block_size, header.image_size = 12, 4096, 50
        try:
            strategy.admit(_Device(board), slots.Record(), header)
        except PolicyError as e:
            self.assertEqual(e.args[:2], ("hardware", needs))
            return False
        return True

    def test_bytecode_runs_on_boards_of_its_version(self):
        for board in (_RP2, _STM32, _ESP32, _UNIX, 6):
            self.assertTrue(self._admitted(0, board))
            self.assertTrue(self._admitted(6, board))
            self.assertFalse(self._admitted(5, board))
            self.assertFalse(self._admitted(7, board))

    def test_native_code_runs_on_its_processors(self):
        for needs, runs in (
            (0x1306, (_RP2, _STM32)),  # armv6m: a larger Thumb-2 core runs it
            (0x1706, (_STM32,)),  # armv7m
            (0x2306, ()),  # armv7emdp: a double-precision unit
            (0x2B06, (_ESP32,)),
            (0x0B06, (_UNIX,)),
            (0x2F06, ()),  # rv32imc
            (0x1006, ()),  # armv6m of another sub-version
            (0x1305, ()),
        ):
            for board in (_RP2, _STM32, _ESP32, _UNIX, 6):
                self.assertEqual(self._admitted(needs, board), board in runs, (needs, board))

    def test_what_has_no_bytecode_takes_all(self):
        self.assertTrue(self._admitted(0x1306, 0))  # CPython
