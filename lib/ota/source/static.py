"""A static server or folder: one signed manifest at a fixed URL, packages beside it."""

from .. import clock
from ..compat import const
from ..errors import ManifestError
from ..manifest import MANIFEST_MAX
from ..transport import http
from ..transport.resume import Resuming
from ..transport.url import join

if False:  # for type checkers
    from ota_hints import Callable, Steps

_RETRIES = const(2)
_TIMES = const(7)
_DAY_S = const(86400)


class Static:
    """Source of one manifest URL.

    Args:
        url: of the manifest.
        options: keyword arguments of transport.resume.Resuming (tls, headers, timeouts) for the
            manifest and the packages.
        home: an address on the server that the headers are meant for; default: url.
        known: the device's dict of manifests that had nothing new, by URL: entity tag, expiry
            (Unix seconds, 0: none), number of "not modified" answers, and time received (0: not
            known). An unchanged one is not downloaded again for seven requests or one day.
        retries: for the manifest only. It is short, so another server or the next poll is
            tried soon.
    """

    def __init__(self, url: str, options=None, home=None, known=None, retries: int = _RETRIES):
        self._url = url
        self._options = dict(options or {})
        self._home = home or url
        self._known = {} if known is None else known
        self._retries = retries
        self._etag = None
        self._kept = http.Kept()  # the package comes the way the manifest came

    def check(self) -> "Steps":
        """Generator: download the manifest.

        Returns:
            Its bytes; None if it has not changed since it had nothing new.
        Raises:
            TransportError; ManifestError "size" if it is too long.
        """
        # "Not modified" is not signed, and the tag may belong to another manifest. So it is
        # believed only for a while, and a failed request forgets it.
        tag, expires, times, came = self._known.pop(self._url, (None, 0, 0, 0))
        now = clock.now()
        if expires and now > expires or times >= _TIMES or came and not 0 <= now - came < _DAY_S:
            tag = None
        http.secure(self._url, self._options)  # for the package, too
        options = self._meant_for(self._url)
        options["retries"] = min(options.get("retries", self._retries), self._retries)
        reader = yield from Resuming(self._url, tag=tag, **options).open()
        try:
            if reader.unchanged:
                if tag:
                    self._known[self._url] = tag, expires, times + 1, came
                return None
            self._etag = reader.etag
            # No larger than needed: beside an application a large block is hard to allocate.
            length = MANIFEST_MAX if reader.length is None else reader.length
            if length > MANIFEST_MAX:
                raise ManifestError("size", length)
            data = bytearray(length)
            buf = memoryview(data)
            got = 0
            while True:
                # Nothing may follow the last byte.
                n = reader.readinto(buf[got:] if got < length else bytearray(1))
                if n is None:
                    yield None
                elif not n:
                    # No copy of a whole one: it may be long.
                    return data if got == length else bytes(buf[:got])
                else:
                    got += n
                    if got > length:
                        raise ManifestError("size", got)
        finally:
            reader.close()

    def open(self, url: str, size: int | None = None) -> "Callable":
        """The open_at function of a package.

        Args:
            url: absolute, or relative to the manifest.
            size: bytes according to the manifest; a response of another size is rejected before
                anything is written.
        """
        url = join(self._url, url)
        return Resuming(url, size, **self._meant_for(url)).open

    def _meant_for(self, url):
        """The options for one file. Headers are sent to `home` only: a token is for one server."""
        options = dict(self._options)
        options.setdefault("home", self._home)
        options["kept"] = self._kept
        return options

    def close(self) -> None:
        """Close the kept connection; may be called more than once."""
        self._kept.close()

    def report(self, stage: str, detail: int) -> None:
        """Remember "none" (nothing to do); a static server receives no reports.

        Args:
            detail: expiry of the manifest in Unix seconds, 0: never.
        """
        if stage == "none" and self._etag:
            self._known[self._url] = self._etag, detail, 0, clock.now()
