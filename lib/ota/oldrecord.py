"""State records that are not as slots.py writes them: of the layout before, or without sense.

Loaded by slots.py only then.
"""

import struct

from . import slots, state
from .compat import const
from .errors import FlashError, code

_HEAD = const("<BBBBBBHIII8s8s")
_SIZE = const(204)
_IMAGE_SIZE = const(56)


def first(data):
    """The slots.Record of a value of layout 1, without its images. Raises FlashError "corrupt"
    for any other."""
    if len(data) != _SIZE or data[0] != 1:
        raise FlashError("corrupt", len(data))
    r = slots.Record()
    # It had no secret, and one place for what was rolled back or refused.
    (_, r.state, r.active, r.previous, r.tries, r.month, r.reason, _, r.sequence, r.floor,
     r.package, r.seen) = struct.unpack_from(_HEAD, data)  # fmt: skip
    r.refused = r.seen
    return r


def mended(data, strategy: str):
    """A record for a value that makes none: RESCUE, reason "corrupt".

    What keeps old images out stays. The image that ran, if it was a confirmed one, is `new`:
    the boot stage runs it if the slot holds it.
    """
    try:
        r = slots.head(data)
    except FlashError:
        r = slots.Record()
        r.state = state.RESCUE
    if not state.possible(strategy, state.IDLE, r.active, slots.NONE):
        r.active = 0
    if r.state in (state.IDLE, state.FETCH, state.READY):
        try:
            r.new = slots.image(data, len(data) - 3 * _IMAGE_SIZE)
        except FlashError:
            pass
    r.state, r.previous, r.tries = state.RESCUE, slots.NONE, 0
    r.reason = code("corrupt")
    return r
