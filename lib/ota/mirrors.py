"""The same update from several servers, one after the other until one gives what it must.

Nothing here trusts a mirror more than another: what one gave is checked as ever, and what lies
in flash of a package stays good for the next, because the package's signed header names it.
"""

import hashlib

from . import update
from .errors import (
    FlashError,
    ManifestError,
    OtaError,
    PolicyError,
    SignatureError,
    TransportError,
    VerifyError,
)
from .source.static import Static

# Of a PolicyError: an old manifest, which another mirror may have a newer one of.
_STALE = ("sequence", "expired")


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
    """Generator: update.run() with each of sources until one does not fail.

    A server that is away, lies or is behind passes the turn to the next; "nothing to do" in a
    manifest that is good ends it. If power goes here, the next update begins with the first
    source, at what is in flash. Raises the OtaError of the last one.
    """
    last = sources[-1]
    for source in sources:
        try:
            return (yield from update.run(device, source, now))
        except OtaError as e:
            if source is last or not passes(e):
                raise
        yield None


def passes(error) -> bool:
    """True if an OtaError passes the turn to the next source, which may do better."""
    if isinstance(error, PolicyError):
        return error.reason in _STALE
    return isinstance(error, (TransportError, ManifestError, SignatureError, VerifyError))
