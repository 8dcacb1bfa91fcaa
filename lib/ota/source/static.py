"""A static server or folder: one signed manifest at a fixed URL, packages beside it."""

from .. import clock
from ..compat import const
from ..errors import ManifestError
from ..manifest import MANIFEST_MAX
from ..transport import http
from ..transport.resume import Resuming
from ..transport.url import join

_RETRIES = const(2)
_TIMES = const(7)
_DAY_S = const(86400)


class Static:
    """url: of the manifest. options: keyword arguments of transport.resume.Resuming (tls,
    headers, timeouts), for the manifest and the packages alike. home: an address on the server
    that headers are meant for, if that is not the one of url. known: dict of a device, by URL:
    entity tag, end (seconds since 1970, 0: none), how often it was said to be still the same,
    and when it came (0: not known) of manifests that had nothing for it. These need not come
    again for seven questions or a day, before they expire. retries: of the manifest, which is so
    short that other servers, or the next time, are tried soon."""

    def __init__(self, url: str, options=None, home=None, known=None, retries: int = _RETRIES):
        self._url = url
        self._options = dict(options or {})
        self._home = home or url
        self._known = {} if known is None else known
        self._retries = retries
        self._etag = None
        self._kept = http.Kept()  # the package comes the way the manifest came

    def check(self):
        """Generator: the manifest's bytes; None if it is still one that had nothing.

        Raises TransportError; ManifestError "size" for one that is too long.
        """
        # Nobody signs "still the same", and a tag may be of another manifest than the one it
        # came with. So it counts for a while only, and a question that fails forgets it.
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
            # No more than it takes: a long piece in one is hard to get beside an application.
            length = MANIFEST_MAX if reader.length is None else reader.length
            if length > MANIFEST_MAX:
                raise ManifestError("size", length)
            data = bytearray(length)
            buf = memoryview(data)
            got = 0
            while True:
                # Behind the last byte there must be none.
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

    def open(self, url: str, size=None):
        """open_at for the package at url, absolute or relative to the manifest.

        size: bytes the manifest promises; a server that speaks of another size is refused
        before anything is written.
        """
        url = join(self._url, url)
        return Resuming(url, size, **self._meant_for(url)).open

    def _meant_for(self, url):
        """The options for one file; the user's headers go to their home: a token is for one
        server."""
        options = dict(self._options)
        options.setdefault("home", self._home)
        options["kept"] = self._kept
        return options

    def close(self) -> None:
        """Close the connection that was kept for the package; may be called more than once."""
        self._kept.close()

    def report(self, stage: str, detail) -> None:
        """A static server is not told; "none", nothing to do, is remembered here. detail: when
        that manifest expires, seconds since 1970, 0: never."""
        if stage == "none" and self._etag:
            self._known[self._url] = self._etag, detail, 0, clock.now()
