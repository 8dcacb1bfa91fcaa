"""What publish writes, served by servers that people have: devices update, also over a cut line.

The configuration of nginx is the one that docs/publish.md shows.
"""

import json
import re
import subprocess

import pytest
import web_servers
from images import PRODUCT, image
from otatool import cli, sim
from otatool.image import build as app_image
from otatool.product import provision
from otatool.release import keys, publish, serve, upload
from published import SIZE, Cut, release, updated
from web_servers import ask


@pytest.fixture
def www(tmp_path):
    folder = tmp_path / "www"
    folder.mkdir()
    return folder


@pytest.fixture
def nginx(tmp_path, www):
    """Port of a real nginx with the documented server block, over www."""
    config = web_servers.documented("nginx")
    with web_servers.nginx(tmp_path, config, root=f'"{www}"') as port:
        yield port


@pytest.fixture
def plain(www):
    """Port of `python -m http.server` over www."""
    with web_servers.plain(www) as port:
        yield port


@pytest.fixture(params=["nginx", "plain"])
def port(request):
    return request.getfixturevalue(request.param)


def test_nginx_gives_cache_headers_ranges_and_no_history(nginx, www):
    release(www, 1)
    ((name, data),) = upload.content(www).packages.items()
    status, fields, body = ask(nginx, f"/{name}")
    assert (status, body) == (200, data)
    assert fields.get_all("Cache-Control") == [upload.PACKAGE_CACHE]
    assert fields["Content-Type"] == "application/octet-stream"
    status, again, body = ask(nginx, f"/{name}", Range="bytes=99-", If_Range=fields["ETag"])
    assert (status, body) == (206, data[99:])
    assert again.get_all("Cache-Control") == [upload.PACKAGE_CACHE]
    status, fields, body = ask(nginx, "/manifest.ota")
    assert (status, body) == (200, (www / "manifest.ota").read_bytes())
    assert fields.get_all("Cache-Control") == [upload.MANIFEST_CACHE]
    for path in ("/.history/history.json", "/.history/app-0.1.img", "/packages/", "/", "/x"):
        assert ask(nginx, path)[0] in (403, 404), path
    # A package that is not there yet must not be kept as missing for a year.
    assert "Cache-Control" not in ask(nginx, "/packages/" + "0" * 24 + ".ota")[1]


@pytest.mark.parametrize("strategy", ["ab", "pingpong", "inplace"])
def test_a_device_updates(port, www, strategy):
    for n in (1, 2):
        release(www, n)
    updated(f"http://127.0.0.1:{port}/manifest.ota", strategy)


@pytest.mark.parametrize("server", ["nginx", "plain"])
def test_a_cut_download_goes_on(request, server, www):
    port = request.getfixturevalue(server)
    release(www, 1)
    full = release(www, 2, last=0).rows[0][2]
    with Cut(port, 5000, "/packages/") as line:
        updated(line.url + "manifest.ota")
    status = [head.split()[1] for head in line.heads]
    manifest = (www / "manifest.ota").stat().st_size
    if server == "nginx":
        assert status == ["200", "200", "206"]
        assert line.sent == manifest + full
    else:
        # It sends the whole file again; what the device has is passed over.
        assert status == ["200", "200", "200"]
        assert line.sent == manifest + 5000 + full


def test_micropython_updates_from_nginx_over_a_cut_line(nginx, www, tmp_path):
    images = []
    for version in ("0.1", "0.2"):
        folder = tmp_path / version
        folder.mkdir()
        (folder / "main.py").write_text(
            f"import ota\nprint('APP', {version!r}, ota.confirm())\n"
            "print(ota.check_and_update(reset=True))\n"
        )
        (folder / "data.txt").write_bytes(image(int(version[2:]), SIZE))
        images.append(app_image.build(folder))
    with Cut(nginx, 5000, "/packages/") as line:
        done = provision.provision(
            tmp_path / "board",
            provision.Product("lamp", "ab", images[0], url=line.url + "manifest.ota"),
        )
        key = keys.load(done.key)
        for version, data in zip(("0.1", "0.2"), images, strict=True):
            publish.publish(www, data, publish.Release("lamp", version, last=0), [key])
        with sim.Board(done.flash, heap="256K") as board:
            board.wait("APP 0.2 True", 30)
            board.wait("'none'", 20)
    assert [head.split()[1] for head in line.heads][:3] == ["200", "200", "206"]


def test_a_ca_of_your_own_and_the_settings_of_the_documentation(tmp_path, capsys, monkeypatch):
    """The commands of docs/publish.md, the settings of docs/network.md, by the command line."""
    monkeypatch.chdir(tmp_path)
    script = web_servers.documented("sh")
    subprocess.run(["sh", "-e", "-c", script], check=True, capture_output=True)
    page = web_servers.DOC.with_name("network.md").read_text()
    more = re.search(r"```json\n(.*?)```", page, re.DOTALL)[1]
    (tmp_path / "more.json").write_text(more)
    app = tmp_path / "app"
    app.mkdir()
    (app / "main.py").write_text("import ota\nprint('APP', ota.check_and_update()['result'])\n")
    (tmp_path / "app.img").write_bytes(app_image.build(app))
    release(tmp_path / "www", 1, places=[])
    with serve.start(tmp_path / "www", tls=("server.pem", "server.key")) as server:
        url = f"https://localhost:{server.port}/manifest.ota"
        command = ["provision", "board", "app.img", "--product", PRODUCT, "--url", url]
        assert cli.main([*command, "--ca", "ca.pem", "--config", "more.json"]) == 0
        assert "unknown key" not in capsys.readouterr().out
        layout = json.loads((tmp_path / "board" / "layout.json").read_text())
        assert layout["http"]["headers"] == json.loads(more)["http"]["headers"]
        # What was published is signed by another key: a board that says so was let in.
        with sim.Board(tmp_path / "board" / "board.flash", heap="256K") as board:
            board.wait("SignatureError: key", 30)
