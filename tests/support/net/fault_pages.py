"""Pages for fault_server.py: heads, chunks, and a file that is served well but for drops."""


def head(status="200 OK", *fields, length=None):
    """Bytes of a response head; fields without line ends."""
    lines = [f"HTTP/1.1 {status}", *fields]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([*lines, "", ""]).encode()


def chunked(data, size, extension=b""):
    out = b""
    for i in range(0, len(data), size):
        piece = data[i : i + size]
        out += b"%X%s\r\n%s\r\n" % (len(piece), extension, piece)
    return out


def file(data, etag='"v1"', ranges=True, drop=None, how=("reset",), times=1, body_max=None):
    """A page that serves data as a good server does, but breaks off the first bodies.

    drop: bytes of the body that are sent before; how: the step that follows; body_max:
    longest part that is sent at once.
    """
    left = [times]

    def page(request):
        start = 0
        asked = request.fields.get("range") if ranges else None
        if request.fields.get("if-range", etag) != etag:
            asked = None
        if asked:
            start = int(asked[6:-1])
        if asked and start >= len(data):
            return [head("416 No", f"Content-Range: bytes */{len(data)}", length=0)]
        body = data[start : start + body_max] if body_max else data[start:]
        if asked:
            span = f"Content-Range: bytes {start}-{start + len(body) - 1}/{len(data)}"
            script = [head("206 Part", span, f"ETag: {etag}", length=len(body))]
        else:
            script = [head("200 OK", f"ETag: {etag}", length=len(data))]
        if drop is None or not left[0]:
            return [*script, body]
        left[0] -= 1
        return [*script, body[:drop], how]

    def again():
        left[0] = times

    page.again = again
    return page
