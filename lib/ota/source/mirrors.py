"""The same update from several servers, one after the other until one gives what it must.

Nothing here trusts a mirror more than another: what one gave is checked as ever, and what lies
in flash of a package stays good for the next, because the package's signed header names it.
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

# Of a PolicyError: an old manifest, or one of others that has the same key, where another
# mirror may have the one that is meant.
_STALE = ("sequence", "expired", "product", "channel", "base", "seen")


def sources(urls, options, spread=None, known=None):
    """List of sources, one for each manifest's URL.

    options: as Static takes them; its headers go to the server of the first URL only. spread:
    bytes that tell this device from others: each begins with another mirror, and goes on from
    there in turn; None: all begin with the first. known: as Static takes it. Raises FlashError
    "config" if urls is empty.
    """
    if not urls:
        raise FlashError("config", "url")
    # One try each: the next one is the better second try.
    found = [Static(url, options, urls[0], known, 0) for url in urls]
    first = hashlib.sha256(spread).digest()[0] % len(found) if spread else 0
    return found[first:] + found[:first]


def run(device, sources, now: int = 0):
    """Generator: update.run() with each of sources until one has something new.

    A server that is away, lies or is behind passes the turn to the next, and so does one that
    has nothing, unless its manifest is newer than any before: a mirror that stood still, or is
    made to look so, must not keep a device from what the others have. If power goes here, the
    next update begins with the first source, at what is in flash. Returns "none" if one of them
    said so; else raises the OtaError of the last one.
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


def passes(error) -> bool:
    """True if an OtaError passes the turn to the next source, which may do better."""
    if isinstance(error, PolicyError):
        return error.reason in _STALE
    return isinstance(error, (TransportError, ManifestError, SignatureError, VerifyError))
