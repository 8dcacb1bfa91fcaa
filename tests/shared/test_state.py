import unittest

from ota import state
from ota.errors import StateError

# strategy, from, states that may follow (docs/states.md); a state may always be written again.
_ROWS = (
    ("ab", "IDLE", "FETCH BACK RESCUE"),
    ("ab", "FETCH", "IDLE READY RESCUE"),
    ("ab", "READY", "IDLE FETCH TRIAL RESCUE"),
    ("ab", "APPLY", ""),
    ("ab", "TRIAL", "IDLE BACK RESCUE"),
    ("ab", "BACK", "IDLE RESCUE"),
    ("ab", "RESCUE", "IDLE FETCH"),
    ("pingpong", "IDLE", "FETCH READY BACK RESCUE"),
    ("pingpong", "FETCH", "IDLE READY RESCUE"),
    ("pingpong", "READY", "IDLE FETCH APPLY RESCUE"),
    ("pingpong", "APPLY", "IDLE TRIAL BACK RESCUE"),
    ("pingpong", "TRIAL", "IDLE BACK RESCUE"),
    ("pingpong", "BACK", "IDLE RESCUE"),
    ("pingpong", "RESCUE", "IDLE FETCH READY"),
    ("inplace", "IDLE", "FETCH READY BACK RESCUE"),
    ("inplace", "FETCH", "IDLE READY RESCUE"),
    ("inplace", "READY", "IDLE FETCH APPLY RESCUE"),
    ("inplace", "APPLY", "IDLE TRIAL RESCUE"),
    ("inplace", "TRIAL", "IDLE BACK RESCUE"),
    ("inplace", "BACK", "IDLE RESCUE"),
    ("inplace", "RESCUE", "IDLE FETCH READY"),
)
_NAMES = ("IDLE", "FETCH", "READY", "APPLY", "TRIAL", "BACK", "RESCUE")


class TestMoves(unittest.TestCase):
    def test_every_row_of_every_strategy(self):
        moves = 0
        for strategy, old, after in _ROWS:
            for i, new in enumerate(_NAMES):
                with self.subTest(strategy=strategy, old=old, new=new):
                    moves += 1
                    if new == old or new in after.split():
                        state.check(strategy, _NAMES.index(old), i)
                        continue
                    with self.assertRaises(StateError) as cm:
                        state.check(strategy, _NAMES.index(old), i)
                    self.assertEqual(cm.exception.args, ("state", _NAMES.index(old), i))
        self.assertEqual(moves, 3 * 7 * 7)

    def test_names_and_numbers_are_those_of_the_record(self):
        for i, name in enumerate(_NAMES):
            with self.subTest(name=name):
                self.assertEqual(state.name(i), name)
                self.assertEqual(getattr(state, name), i)
