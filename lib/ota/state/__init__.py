"""States of a component and the moves between them: this table and nothing else.

    IDLE    the active image is confirmed          FETCH   an update is being received
    READY   received and verified, next boot acts  APPLY   the boot stage changes a slot
    TRIAL   the new image runs unconfirmed         BACK    the boot stage goes back
    RESCUE  no image that may run

docs/states.md says what each move means; tests/shared/test_moves.py makes each of them.
"""

from ..compat import const
from ..errors import StateError

IDLE = const(0)
FETCH = const(1)
READY = const(2)
APPLY = const(3)
TRIAL = const(4)
BACK = const(5)
RESCUE = const(6)

# Texts instead of tuples and dicts: in place in flash, they cost no heap.
_NAMES = const("IDLE FETCH READY APPLY TRIAL BACK RESCUE")

# strategy: for each state those that may follow, as digits. A state may always be written again.
_MOVES = const(
    # RESCUE -> IDLE: the factory image was put back.
    # ab has nothing to apply: the new image is already whole in its slot.
    "ab 156 026 0146 - 056 06 01 ; "
    # Going back copies the backup; an apply that fails goes back too, or to IDLE as long as
    # it changed nothing. IDLE -> READY: a package that was staged by hand.
    "pingpong 1256 026 0136 0456 056 06 012 ; "
    # Going back needs the reverse package behind the staged one; half of an apply has none.
    "inplace 1256 026 0136 046 056 06 012 ; "
)


def name(state: int) -> str:
    """The state's word."""
    return _NAMES.split()[state]


def check(strategy: str, old: int, new: int) -> None:
    """Raise StateError "state" unless the strategy may go from old to new."""
    if old != new and str(new) not in _moves(strategy)[old]:
        raise StateError("state", old, new)


def _moves(strategy):
    i = _MOVES.find(strategy + " ") + len(strategy) + 1
    return _MOVES[i : _MOVES.find(" ;", i)].split()
