"""Fields of config "http.headers", such as a token, over every way the library asks a server."""

import os

import ota
import pytest
from fault_pages import head
from fault_server import FaultServer
from ota.errors import OtaError
from rig import Rig

_TOKEN = {"Authorization": "Bearer secret"}


@pytest.fixture
def servers():
    with FaultServer() as home, FaultServer() as other:
        for server in (home, other):
            server.pages.update({
                "/manifest": [[head("410 Gone", length=0)]],
                "/file": [[head(length=5) + b"hello"]],
                "/away": [[head("302 F", f"Location: {other.url}/file", length=0)]],
            })  # fmt: skip
        yield home, other


def _ask(call):
    try:
        call()
    except OtaError:
        pass  # no update lies there


def _board(**config):
    rig = Rig("ab")
    rig.config.update(config)
    rig.config.setdefault("http", {"headers": _TOKEN, "retries": 0})
    rig.boot()


def _told(server):
    return [r.path for r in server.requests if "authorization" in r.fields]


@pytest.mark.parametrize("several", [False, True])
def test_the_server_of_url_alone_gets_them(several, servers, tmp_path):
    home, other = servers
    url = home.url + "/manifest"
    _board(url=[url, other.url + "/manifest"] if several else url, package_url=other.url + "/file")
    file = str(tmp_path / "file")
    for call in (
        lambda: ota.check_and_update(),
        lambda: ota.check_and_update(url=home.url + "/away"),
        lambda: ota.check_and_update(url=other.url + "/manifest"),
        lambda: ota.check_and_update(url=[other.url + "/manifest", other.url + "/file"]),
        lambda: ota.check_and_update(url=[other.url + "/manifest", home.url + "/manifest"]),
        lambda: ota.install_url(),
        lambda: ota.install_url(home.url + "/file"),
        lambda: ota.install_url(home.url + "/away"),
        lambda: ota.install_url(other.url + "/file"),
        lambda: ota.fetch(home.url + "/file", file),
        lambda: ota.fetch(home.url + "/away", file),
        lambda: ota.fetch(other.url + "/file", file),
    ):
        _ask(call)
    assert os.stat(file).st_size == 5
    assert len(other.requests) == 10 + several
    assert _told(other) == []
    assert _told(home) == ["/manifest", "/away", "/manifest", "/file", "/away", "/file", "/away"]


def test_without_url_they_belong_to_package_url(servers, tmp_path):
    home, other = servers
    _board(package_url=home.url + "/file")
    _ask(lambda: ota.install_url())
    _ask(lambda: ota.install_url(other.url + "/file"))
    _ask(lambda: ota.check_and_update(url=other.url + "/manifest"))
    assert (_told(home), _told(other), len(other.requests)) == (["/file"], [], 2)


def test_without_both_nobody_gets_them(servers, tmp_path):
    home, other = servers
    _board()
    _ask(lambda: ota.fetch(home.url + "/file", str(tmp_path / "file")))
    _ask(lambda: ota.check_and_update(url=home.url + "/manifest"))
    assert (_told(home), len(home.requests)) == ([], 2)


def test_a_server_that_is_named_with_them(servers, tmp_path):
    home, other = servers
    headers = {"X-Id": "1", other.url: _TOKEN}
    _board(url=home.url + "/manifest", http={"headers": headers, "retries": 0})
    _ask(lambda: ota.check_and_update(url=home.url + "/away"))
    _ask(lambda: ota.fetch(other.url + "/file", str(tmp_path / "file")))
    assert (_told(home), _told(other)) == ([], ["/file", "/file"])
    assert [r.fields.get("x-id") for r in home.requests] == ["1"]
    assert [r.fields.get("x-id") for r in other.requests] == [None, None]
