"""Real web servers for the tests of publishing, and what one asks of them."""

import contextlib
import http.client
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

DOC = Path(__file__).parents[3] / "docs" / "publish.md"
_START_S = 60  # of a busy machine
_NGINX = shutil.which("nginx", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))


def documented(language, number=0):
    """A block of docs/publish.md: what it shows is what the tests run."""
    return re.findall(rf"```{language}\n(.*?)```", DOC.read_text(), re.DOTALL)[number]


def replaced(text, **values):
    """A server's configuration with the arguments of some directives replaced, each once."""
    for name, value in values.items():
        text, n = re.subn(rf"\b{name} [^ ;]+", f"{name} {value}", text)
        assert n == 1, name
    return text


@contextlib.contextmanager
def nginx(folder, config, **values):
    """A real nginx with a block of configuration, its files in folder; gives its port.

    folder/access.log gets a line for each request: number of its connection, status, bytes, path.
    """
    if not _NGINX:
        if os.environ.get("CI"):
            pytest.fail("nginx is missing: apt install nginx-light")
        pytest.skip("nginx is not installed here (apt install nginx-light)")
    port = _free_port()
    block = replaced(config, listen=f"127.0.0.1:{port}", **values)
    places = "".join(
        f'{kind}_temp_path "{folder / kind}";\n'
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    conf = folder / "nginx.conf"
    # One process: the workers of a root's nginx would be somebody who may not read the folder.
    conf.write_text(
        "daemon off;\nmaster_process off;\n"
        f'pid "{folder}/nginx.pid";\nerror_log "{folder}/error.log";\n'
        f"events {{}}\nhttp {{\n"
        "log_format short '$connection $status $body_bytes_sent $uri';\n"
        f'access_log "{folder}/access.log" short;\n{places}{block}}}\n'
    )
    command = [_NGINX, "-c", conf, "-p", folder, "-e", folder / "error.log"]
    with _process(command, stderr=subprocess.DEVNULL) as process:
        # Not a connection, which somebody else may accept: nginx writes its number when the
        # port is its own, and tries for 2.5 s before it gives up.
        end = time.monotonic() + _START_S
        while not (folder / "nginx.pid").exists():
            log = (folder / "error.log").read_text() if process.poll() is not None else ""
            assert not log and time.monotonic() < end, f"nginx is not up: {log}"
            time.sleep(0.02)
        yield port


@contextlib.contextmanager
def plain(folder):
    """`python -m http.server` over a folder: HTTP/1.0, no Range, no ETag; gives its port."""
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with _process(command, cwd=folder, **options) as process:
        said = process.stdout.readline()  # it says so when it listens
        yield int(re.search(r" port (\d+) ", said)[1])


def ask(port, path, **fields):
    """(status, header fields, body) of a GET."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


@contextlib.contextmanager
def _process(command, **options):
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(_START_S)


def _free_port():
    # Below those that connections and servers of others are given.
    ports = list(range(20000, 30000))
    random.shuffle(ports)
    for port in ports:
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")
