"""What becomes of an update that fails: why is kept in the record, and told.

Loaded only then.
"""

from .. import state
from ..compat import const
from ..errors import ManifestError, SignatureError, TransportError
from .record import Image

_LATER = const(39)  # highest code of a TransportError
# Of an image that was given up: "tries" to "request", "mount" to "start".
_GIVEN_UP = const(" 105 106 107 108 112 113 114 ")
# Of a manifest that anybody may have kept, to send it again.
_REPLAYED = const(" product channel sequence expired ")


def answer(device, error) -> dict:
    """What a function of the public face returns for an error that only takes time.

    {"result": "later", "version": ..., "reason": word, "error": the error} for a
    TransportError, {"result": "trial", "version": ...} while the running image is not
    confirmed. Raises every other error.
    """
    later = isinstance(error, TransportError)
    if not later and error.reason != "trial":
        raise error
    found = {"result": "trial", "version": device.slots.load().image.version}
    if later:
        found["result"] = "later"
        found["reason"] = error.reason
        found["error"] = error
    return found


def note(device, error) -> None:
    """Keep why in the record; the running image is untouched whatever happened."""
    record = device.slots.load()
    if record.state not in (state.IDLE, state.FETCH, state.READY, state.RESCUE):
        return
    later = isinstance(error, TransportError) or error.reason == "memory"
    refused = record.state == state.FETCH and not later
    # A device asks again and again: the same answer is written once, and a server that is
    # away does not hide why an image was refused or rolled back. Nor does what anybody on the
    # way can send hide why it was rolled back: accepted.again() goes by that.
    anybody = isinstance(error, (ManifestError, SignatureError)) or _in(error.reason, _REPLAYED)
    if not refused and (
        record.reason == error.code
        or (later and record.reason > _LATER)
        or (anybody and _in(record.reason, _GIVEN_UP))
    ):
        return
    record.reason = error.code
    if refused:
        record.state = state.IDLE if record.image.size else state.RESCUE
        record.new = Image()
        record.package = bytes(8)  # a good copy of it may come, also by hand
    device.slots.save(record)


def _in(word, words):
    return " %s " % word in words
