"""http and https addresses: taken apart and joined, strictly and within bounds.

Everything that later goes into a request line or a Host field passes through here, so
nothing that could split a request is let in. No percent-decoding is done.
"""

from ..compat import const
from ..errors import TransportError

_URL_MAX = const(1024)
_HOST_MAX = const(253)
_HOST = "abcdefghijklmnopqrstuvwxyz0123456789.-_"
_IPV6 = "0123456789abcdef:."


def parse(url: str) -> tuple:
    """Take an absolute http or https URL apart: (scheme, host, port, path).

    scheme and host are lower case, an IPv6 host is without its brackets, path includes the
    query, begins with "/" and has no fragment. Raises TransportError "url" for control
    characters, spaces, anything but ASCII, user info, other schemes, more than 1024 bytes.
    """
    _clean(url)
    scheme, mark, rest = url.partition("://")
    scheme = scheme.lower()
    if not mark or scheme not in ("http", "https"):
        raise TransportError("url", "scheme")
    rest = rest.split("#", 1)[0]
    cut = _first(rest, "/?")
    authority, path = rest[:cut], rest[cut:]
    if not path.startswith("/"):
        path = "/" + path
    if "@" in authority:
        raise TransportError("url", "user")
    host, port = _authority(authority.lower())
    return scheme, host, port or (443 if scheme == "https" else 80), path


def join(base: str, location: str) -> str:
    """The absolute URL that location, absolute or relative, means when seen from base.

    Raises TransportError "url" as parse() does, for location as for the result.
    """
    _clean(location)
    location = location.split("#", 1)[0]
    colon = location.find(":")
    if 0 <= colon < _first(location, "/?"):
        parse(location)
        return location
    scheme, host, port, path = parse(base)
    if location.startswith("//"):
        url = scheme + ":" + location
    else:
        url = scheme + "://" + authority(scheme, host, port) + _resolve(path, location)
    parse(url)
    return url


def authority(scheme: str, host: str, port: int) -> str:
    """What a Host field says: brackets around IPv6, the port unless it is the usual one."""
    if ":" in host:
        host = "[" + host + "]"
    return host if port == (443 if scheme == "https" else 80) else host + ":" + str(port)


def _clean(url: str) -> None:
    if not url or len(url) > _URL_MAX:
        raise TransportError("url", "length")
    for c in url:
        if not "!" <= c <= "~" or c == "\\":
            raise TransportError("url", "character")


def _first(text: str, marks: str) -> int:
    # Index of the first of the marks, or the length.
    at = len(text)
    for m in marks:
        i = text.find(m)
        if 0 <= i < at:
            at = i
    return at


def _authority(text: str) -> tuple:
    if text.startswith("["):
        host, close, port = text[1:].partition("]")
        allowed = _IPV6
        if not close or ":" not in host or (port and port[0] != ":"):
            raise TransportError("url", "host")
        port = port[1:]
    else:
        host, _, port = text.partition(":")
        allowed = _HOST
    if not 0 < len(host) <= _HOST_MAX:
        raise TransportError("url", "host")
    for c in host:
        if c not in allowed:
            raise TransportError("url", "host")
    if not port:
        return host, 0
    if len(port) > 5 or not port.isdigit() or not 0 < int(port) < 65536:
        raise TransportError("url", "port")
    return host, int(port)


def _resolve(path: str, location: str) -> str:
    # RFC 3986 section 5.3, without authority.
    query = path.find("?")
    if query >= 0:
        path = path[:query]
    if not location:
        return path
    if location.startswith("?"):
        return path + location
    cut = _first(location, "?")
    location, tail = location[:cut], location[cut:]
    if not location.startswith("/"):
        location = path[: path.rfind("/") + 1] + location
    out: list = []
    parts = location.split("/")[1:]
    for part in parts:
        if part == "..":
            if out:
                out.pop()
        elif part != ".":
            out.append(part)
    if parts[-1] in (".", ".."):
        out.append("")
    return "/" + "/".join(out) + tail
