"""Tries an update from several mirrors in turn until one succeeds.

No mirror is trusted more than another: what it sends is verified as always. The part of a package
that is already in flash stays valid for the next mirror, because the signed header identifies it.
"""

import hashlib

from .. import update
from ..errors import (
    FlashError,
    ManifestError,
    OtaError,
    PolicyError,
    SignatureError,
    TransportError,
    VerifyError,
)
from ..state.accepted import SEQUENCES
from .static import Static

if False:  # for type checkers
    from ota_hints import Device, Steps

# Reasons of a PolicyError after which another mirror may have the right manifest: this one was
# old, or of another product with the same key.
_STALE = ("sequence", "expired", "product", "channel", "base", "seen")


def sources(
    urls: list | tuple, options: dict, spread: bytes | None = None, known: dict | None = None
) -> list:
    """Make a list of sources, one for each manifest URL.

    Args:
        options, known: as for Static; headers are sent to the server of the first URL only.
        spread: bytes unique to this device, which select the mirror to start with; None: all
            devices start with the first.
    Raises:
        FlashError: "config" if urls is empty.
    """
    if not urls:
        raise FlashError("config", "url")
    # One try each: the next one is the better second try.
    found = [Static(url, options, urls[0], known, 0) for url in urls]
    first = hashlib.sha256(spread).digest()[0] % len(found) if spread else 0
    return found[first:] + found[:first]


def run(device: "Device", sources: list, now: int = 0) -> "Steps":
    """Generator: run update.run() with each source until one has something new.

    The next source is tried after a server that is unreachable, wrong or out of date, and after
    one that has nothing new, unless its manifest is newer than any before: a stale mirror must
    not keep a device from what the others have. If power goes here, the next update begins with
    the first source and resumes from flash.

    Args:
        now: Unix seconds, 0 if not known.
    Returns:
        As update.run(); "none" if at least one source had nothing new.
    Raises:
        OtaError: of the last source.
    """
    nothing = None
    error: OtaError = FlashError("config", "url")  # no source at all
    for source in sources:
        before = _newest(device)
        try:
            done = yield from update.run(device, source, now)
            if done["result"] != "none" or _newest(device) != before:
                return done
            nothing = done
        except OtaError as e:
            if not passes(e):
                raise
            error = e
        yield None
    if nothing:
        return nothing
    raise error


def _newest(device):
    return device.kv.get(device.slots.key + SEQUENCES)


def passes(error: Exception) -> bool:
    """True if another source may succeed after this OtaError."""
    if isinstance(error, PolicyError):
        return error.reason in _STALE
    return isinstance(error, (TransportError, ManifestError, SignatureError, VerifyError))
