"""Strict parsing and joining of http and https URLs.

Everything in a request line or Host field has passed through here, so nothing can split a
request. There is no percent-decoding. User info is rejected: secrets belong in a header field
(docs/network.md).
"""

from ..compat import const
from ..errors import TransportError

if False:  # for type checkers
    from ota_hints import Buffer

URL_MAX = 2048  # signed addresses of file hosts have 700 to 1800
_HOST_MAX = const(253)
_HOST = "abcdefghijklmnopqrstuvwxyz0123456789.-_"
_IPV6 = "0123456789abcdef:."


def parse(url: str) -> tuple:
    """Split an absolute http or https URL.

    Returns:
        (scheme, host, port, path): scheme and host in lower case, an IPv6 host without brackets,
        a name without a final dot; path begins with "/" and includes the query, no fragment.
    Raises:
        TransportError: "url" for control characters, spaces, non-ASCII, user info, other
            schemes, more than 2048 bytes.
    """
    _clean(url)
    # Slices of url only: a board has memory for few copies of a long one.
    start = url.find("://")
    scheme = url[: max(start, 0)].lower()
    if scheme not in ("http", "https"):
        raise TransportError("url", "scheme")
    start += 3
    end = url.find("#", start)
    if end < 0:
        end = len(url)
    cut = min(_first(url, "/?", start), end)
    place, path = url[start:cut], url[cut:end]
    if not path.startswith("/"):
        path = "/" + path
    if "@" in place:
        # RFC 9110 4.2.4: it hides the server, or is a secret that ends up in logs.
        raise TransportError("url", "user")
    host, port = _authority(place.lower())
    return scheme, host, port or (443 if scheme == "https" else 80), path


def join(base: str, location: str) -> str:
    """Resolve location, absolute or relative, against base; returns an absolute URL.

    Raises TransportError "url" as parse() does, for location and for the result.
    """
    scheme, host, port, path = resolve(parse(base), location)
    return scheme + "://" + authority(scheme, host, port) + path


def resolve(target: tuple, location: str) -> tuple:
    """Like parse(), for location relative to target, a result of parse()."""
    _clean(location)
    end = location.find("#")
    if end >= 0:
        location = location[:end]
    colon = location.find(":")
    if 0 <= colon < _first(location, "/?"):
        return parse(location)
    scheme, host, port, path = target
    if location.startswith("//"):
        return parse(scheme + ":" + location)
    path = _resolve(path, location)
    if len(path) > URL_MAX:
        raise TransportError("url", "length")
    return scheme, host, port, path


def quoted(data: "Buffer") -> str:
    """The bytes of a Location as ASCII text, with spaces and non-ASCII bytes as %XX, as browsers
    and curl do. parse() checks the rest."""
    if any(c == 0x20 or c > 0x7F for c in data):
        data = b"".join([b"%%%02X" % c if c == 0x20 or c > 0x7F else bytes([c]) for c in data])
    return str(data, "utf-8")


def authority(scheme: str, host: str, port: int) -> str:
    """Value of a Host field: IPv6 in brackets, the port unless it is the default."""
    if ":" in host:
        host = "[" + host + "]"
    return host if port == (443 if scheme == "https" else 80) else host + ":" + str(port)


def _clean(url: str) -> None:
    if not url or len(url) > URL_MAX:
        raise TransportError("url", "length")
    for c in url:
        if not "!" <= c <= "~" or c == "\\":
            raise TransportError("url", "character")


def _first(text: str, marks: str, start: int = 0) -> int:
    # Index of the first of the marks from start on, or the length.
    at = len(text)
    for m in marks:
        i = text.find(m, start)
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
        if host.endswith("."):
            host = host[:-1]  # the whole name; servers and certificates know it without the dot
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
