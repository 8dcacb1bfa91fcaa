"""gs:// by its real driver, against the few calls of the service's JSON interface that it uses.

This stands in for the service: it shows what the driver is told and asks, not what Google does.
"""

import http.server
import json
import threading
import urllib.parse

import pytest
from otatool.release import destination as place
from otatool.release import upload
from published import release


class _Service(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    objects: dict = {}  # name -> (metadata, type, bytes)
    order: list = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        _, first, second, _ = body.split(b"--==0==", 3)
        meta = json.loads(first.partition(b"\n\n")[2])
        head, _, data = second.lstrip(b"\n").partition(b"\n\n")
        kind = head.decode().partition(": ")[2]
        self.objects[meta["name"]] = meta, kind, data[:-1]
        self.order.append(meta["name"])
        self._answer(200, {"name": meta["name"], "bucket": "b", "size": str(len(data) - 1)})

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        name = urllib.parse.unquote(url.path.rpartition("/o/")[2])
        if name not in self.objects:
            listing = url.path.endswith("/o")
            return self._answer(200 if listing else 404, {"items": []} if listing else {})
        data = self.objects[name][2]
        if "alt=media" not in url.query:
            return self._answer(200, {"name": name, "bucket": "b", "size": str(len(data))})
        asked = self.headers.get("Range")
        if asked:
            first, _, last = asked[6:].partition("-")
            data = data[int(first) : int(last) + 1]
        self._answer(206 if asked else 200, data)

    def _answer(self, status, body):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@pytest.fixture
def service(monkeypatch):
    kind = type("Service", (_Service,), {"objects": {}, "order": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.server_port}")
        yield kind
        server.shutdown()


def test_cache_headers_and_order(tmp_path, service):
    there = place.locate("gs://b/lamp")
    for n in (1, 2):
        release(tmp_path, n, places=[there])
    files = {
        **upload.content(tmp_path).packages,
        upload.MANIFEST: (tmp_path / "manifest.ota").read_bytes(),
    }
    assert service.order[-4:] == [f"lamp/{name}" for name in files]
    for name, data in files.items():
        meta, kind, body = service.objects[f"lamp/{name}"]
        assert (kind, body) == ("application/octet-stream", data)
        cache = upload.MANIFEST_CACHE if name == upload.MANIFEST else upload.PACKAGE_CACHE
        assert meta["cacheControl"] == cache
    count = len(service.order)
    assert upload.upload(there, upload.content(tmp_path)).written == []
    assert len(service.order) == count
