"""Releases in a bucket: a server that speaks S3, s3fs as it is installed, plain HTTP to look."""

import http.server
import logging
import re
import threading
import time

import pytest
from images import image
from moto.server import ThreadedMotoServer
from otatool.errors import ToolError
from otatool.release import destination as place
from otatool.release import publish, upload
from published import SIZE, Broken, Cut, Watched, release, updated
from web_servers import ask, documented, nginx

BUCKET = "firmware"
PREFIX = f"{BUCKET}/lamp"


@pytest.fixture(scope="module")
def port():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


@pytest.fixture
def bucket(port, monkeypatch):
    """An empty bucket that everybody may read; the URL of a folder in it, for otatool."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    fs = place.locate(f"s3://{PREFIX}")._fs
    fs.call_s3("create_bucket", Bucket=BUCKET)
    policy = documented("json").replace("acme-firmware", BUCKET)
    fs.call_s3("put_bucket_policy", Bucket=BUCKET, Policy=policy)
    yield f"s3://{PREFIX}"
    fs.invalidate_cache()
    fs.rm(BUCKET, recursive=True)


class _Store(http.server.BaseHTTPRequestHandler):
    """A store that speaks S3 of before the checksums: what it does not know is refused."""

    protocol_version = "HTTP/1.1"
    files: dict[str, bytes] = {}
    encoding = ""

    def do_PUT(self):
        data = self.rfile.read(int(self.headers["Content-Length"]))
        fields = " ".join(f"{k}: {v}" for k, v in self.headers.items()).lower()
        if any(x in fields for x in ("checksum", "x-amz-trailer", "aws-chunked")):
            self._give(501, b"<Error><Code>NotImplemented</Code><Message>x</Message></Error>")
            return
        self.files[self.path] = data
        self._give(200)

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path, _, asked = self.path.partition("?")
        if "list-type" in asked:
            self._give(200, b"<ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>")
        elif path in self.files:
            found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            data = self.files[path]
            if found:
                data = data[int(found[1]) : int(found[2] or len(data)) + 1]
            self._give(206 if found else 200, data)
        else:
            self._give(404, b"<Error><Code>NoSuchKey</Code></Error>")

    def _give(self, status, body=b""):
        self.send_response(status)
        if self.encoding and status < 300:
            self.send_header("Content-Encoding", self.encoding)
        self.send_header("Last-Modified", "Mon, 30 Nov 2026 00:00:00 GMT")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def store(monkeypatch):
    handler = type("Store", (_Store,), {"files": {}})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_address[1]}",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_REQUEST_CHECKSUM_CALCULATION", raising=False)
    place.locate("s3://x")._fs.clear_instance_cache()
    yield handler
    place.locate("s3://x")._fs.clear_instance_cache()
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_store_without_checksums_takes_the_files(tmp_path, store):
    done = release(tmp_path, 1, places=[place.locate(f"s3://{PREFIX}")]).done[1]
    assert len(store.files) == 2
    assert done.warnings == []


def test_an_encoding_that_a_store_keeps_is_told(tmp_path, store):
    store.encoding = "aws-chunked"
    release(tmp_path, 1)
    done = upload.upload(place.locate(f"s3://{PREFIX}"), upload.content(tmp_path))
    assert len(done.warnings) == 2
    assert "Content-Encoding: aws-chunked" in done.warnings[0]


def test_the_manifest_is_written_last_and_nothing_twice(tmp_path, bucket, caplog):
    caplog.set_level(logging.INFO, "werkzeug")

    def written():
        found = re.findall(rf'"PUT /{PREFIX}/(\S+) HTTP', "\n".join(caplog.messages))
        deleted = [m for m in caplog.messages if "DELETE" in m or "?delete" in m]
        caplog.clear()
        assert not deleted
        return found

    for n, packages in ((1, 1), (2, 3)):
        release(tmp_path, n, places=[place.locate(bucket)])
        names = written()
        assert len(names) == packages + 1
        assert names == [*upload.content(tmp_path).packages, upload.MANIFEST]
    done = upload.upload(place.locate(bucket), upload.content(tmp_path))
    assert (written(), done.written, len(done.kept)) == ([], [], 4)


def test_what_devices_and_caches_are_told(tmp_path, bucket, port):
    release(tmp_path, 1, places=[place.locate(bucket)])
    ((name, data),) = upload.content(tmp_path).packages.items()
    for path, body, cache in (
        (name, data, "public, max-age=31536000, immutable"),
        (upload.MANIFEST, upload.content(tmp_path).manifest, "max-age=60, must-revalidate"),
    ):
        status, fields, got = ask(port, f"/{PREFIX}/{path}")
        assert (status, got) == (200, body)
        assert fields["Cache-Control"] == cache
        assert fields["Content-Type"] == "application/octet-stream"
    status, fields, got = ask(port, f"/{PREFIX}/{name}", Range="bytes=100-")
    assert (status, got) == (206, data[100:])
    release(tmp_path, 2, places=[place.locate(bucket)], cache="max-age=5")
    assert ask(port, f"/{PREFIX}/{upload.MANIFEST}")[1]["Cache-Control"] == "max-age=5"


@pytest.mark.parametrize("again", ["upload", "publish"])
def test_cut_at_any_write_the_old_manifest_stays_and_the_next_run_completes(
    tmp_path, bucket, port, again
):
    release(tmp_path, 1, places=[place.locate(bucket)])
    old = upload.content(tmp_path).manifest
    for left in (0, 1, 1, 1):  # three packages; the last one fails at the manifest
        there = Watched(place.locate(bucket), left)
        with pytest.raises(Broken):
            release(tmp_path, 2, places=[there])
        assert len(there.puts) == left
        assert ask(port, f"/{PREFIX}/{upload.MANIFEST}")[2] == old
    if again == "upload":
        there = Watched(place.locate(bucket))
        upload.upload(there, upload.content(tmp_path))
        assert there.puts == [upload.MANIFEST]
    else:
        release(tmp_path, 2, places=[place.locate(bucket)])
    new = upload.content(tmp_path).manifest
    assert ask(port, f"/{PREFIX}/{upload.MANIFEST}")[2] == new
    assert b'"version":"0.2"' in new


def test_a_history_in_a_private_bucket(tmp_path, bucket, port):
    history = place.locate(f"s3://{BUCKET}/private")
    for n in (1, 2):
        done = release(tmp_path / str(n), n, places=[place.locate(bucket)], history=history)
    assert [row[0] for row in done.rows] == ["full", "delta", "in place"]
    assert publish.latest(history) == image(2, SIZE)
    assert ask(port, f"/{BUCKET}/private/history.json")[0] == 403


def test_what_the_store_refuses_is_said(tmp_path, bucket):
    with pytest.raises(ToolError, match="s3://nobody/x, .*bucket does not exist"):
        release(tmp_path, 1, places=[place.locate("s3://nobody/x")])
    there = place.locate(bucket)
    there.put(upload.MANIFEST, b"", "")
    with pytest.raises(ToolError, match="--force"):
        release(tmp_path, 1, places=[there])


def test_the_store_is_asked_and_not_what_the_driver_remembers(tmp_path, bucket):
    release(tmp_path, 1)
    there, new = place.locate(bucket), upload.content(tmp_path)
    done = upload.put_packages(there, new)
    assert there._fs.find(BUCKET) == [f"{PREFIX}/{name}" for name in new.packages]
    for name in new.packages:  # as somebody else would, who tells this driver nothing
        there._fs.call_s3("delete_object", Bucket=BUCKET, Key=f"lamp/{name}")
    with pytest.raises(ToolError, match="is not there"):
        upload.put_manifest(there, new, done)


@pytest.mark.parametrize("strategy", ["ab", "inplace"])
def test_a_device_updates_from_the_bucket(tmp_path, bucket, port, strategy):
    for n in (1, 2):
        release(tmp_path, n, places=[place.locate(bucket)])
    updated(f"http://127.0.0.1:{port}/{PREFIX}/{upload.MANIFEST}", strategy)


def test_a_download_that_is_cut_goes_on_where_it_was(tmp_path, bucket, port):
    release(tmp_path, 1)
    release(tmp_path, 2, places=[place.locate(bucket)], last=0)
    with Cut(port, 4000, "/packages/") as line:
        updated(f"{line.url}{PREFIX}/{upload.MANIFEST}")
    assert [head.split()[1] for head in line.heads] == ["200", "200", "206"]


def test_a_cache_before_the_bucket_keeps_packages_and_asks_for_the_manifest(
    tmp_path, bucket, port
):
    www, short = tmp_path / "www", "max-age=1, must-revalidate"
    release(www, 1, places=[place.locate(bucket)], cache=short)
    (package,) = upload.content(www).packages
    origin = f"http://127.0.0.1:{port}/{PREFIX}/"
    with nginx(
        tmp_path, documented("nginx", 2), proxy_cache_path=tmp_path / "cache", proxy_pass=origin
    ) as cache:
        for name in (package, upload.MANIFEST):
            states = [ask(cache, f"/{name}")[1]["X-Cache"] for _ in range(2)]
            assert states == ["MISS", "HIT"]
        # What is missing is not remembered as missing: it may be published next.
        # Two of the cache's seconds; and the S3 server compares dates where it should tags.
        time.sleep(2.1)
        release(www, 2, last=0)
        (following,) = upload.content(www).packages
        assert ask(cache, f"/{following}")[0] in (403, 404)
        upload.upload(place.locate(bucket), upload.content(www), short)
        status, fields, body = ask(cache, f"/{upload.MANIFEST}")
        assert (status, fields["X-Cache"]) == (200, "EXPIRED")
        assert body == upload.content(www).manifest
        with Cut(cache, 4000, "/packages/") as line:
            updated(line.url + upload.MANIFEST)
        assert [head.split()[1] for head in line.heads] == ["200", "200", "206"]
        assert "X-Cache: HIT" in line.heads[-1]
        assert ask(cache, f"/{package}")[1]["X-Cache"] == "HIT"
