"""Handles an update that fails: records the reason and answers the caller. Loaded only then."""

from .. import state
from ..compat import const
from ..errors import ManifestError, SignatureError, TransportError
from .record import Image

if False:  # for type checkers
    from ota_hints import Device, OtaError

_LATER = const(39)  # highest code of a TransportError
# Codes of a reverted image: "tries" to "request", "mount" to "start".
_GIVEN_UP = const(" 105 106 107 108 112 113 114 ")
# Errors of a manifest that anybody may have recorded and replayed.
_REPLAYED = const(" product channel sequence expired ")


def answer(device: "Device", error: "OtaError") -> dict:
    """Result of a public function for an error that only needs time; raise every other error.

    Returns:
        {"result": "later", "version": ..., "reason": word, "error": error} for a TransportError,
        {"result": "trial", "version": ...} while the running image is not confirmed.
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


def note(device: "Device", error: "OtaError") -> None:
    """Record the reason; the running image is not touched."""
    record = device.slots.load()
    if record.state not in (state.IDLE, state.FETCH, state.READY, state.RESCUE):
        return
    later = isinstance(error, TransportError) or error.reason == "memory"
    refused = record.state == state.FETCH and not later
    # A device asks repeatedly: the same answer is written once, and an unreachable server must
    # not hide why an image was rejected or reverted. Nor must anything that an attacker on the
    # network can send hide why it was reverted: accepted.again() depends on that.
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
        record.package = bytes(8)  # an intact copy of it may come, also by hand
    device.slots.save(record)


def _in(word, words):
    return " %s " % word in words
