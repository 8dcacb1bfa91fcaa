"""What the tests of publishing share: releases, a place that fails, a line that is cut, a board
that updates."""

import contextlib
import re
import socket
import threading

import ota
from images import KEY, PRODUCT, image
from otatool.release import publish
from otatool.release.keys import SigningKey
from rig import Rig

SIZE = 60_000
_FIELDS = ("last", "in_place", "version", "rollout")
SIGNING = SigningKey(bytes.fromhex(KEY["secret"]))


def release(folder, n, **options):
    """Publish image n of the rig as version 0.n."""
    fields = {k: options.pop(k) for k in _FIELDS if k in options}
    fields = {"version": f"0.{n}", "quick": True, **fields}
    return publish.publish(
        folder, image(n, SIZE), publish.Release(PRODUCT, **fields), [SIGNING], **options
    )


class Broken(Exception):
    """The connection to a place is gone, or the process is."""


class Watched:
    """A place that notes what is put there, and is gone before put number fails_at."""

    def __init__(self, place, fails_at=None):
        self.label = place.label
        self.size = place.size
        self.read = place.read
        self.encoding = place.encoding
        self.puts = []
        self._place = place
        self._left = fails_at

    def put(self, name, data, cache):
        if self._left == 0:
            raise Broken
        if self._left:
            self._left -= 1
        self._place.put(name, data, cache)
        self.puts.append(name)


class Cut:
    """A line to a port that lets only some bytes of the first body through.

    Only answers to paths with `what` in them count. heads: of all answers, as the server sent
    them; sent: bytes of all bodies.
    """

    def __init__(self, port, after, what):
        self.heads = []
        self.sent = 0
        self._target = port
        self._left = after
        self._what = what.encode()
        self._cut = False
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(
                    target=self._serve, args=self._socket.accept()[:1], daemon=True
                ).start()

    def _serve(self, near):
        with near, socket.create_connection(("127.0.0.1", self._target)) as far:
            answer = far.makefile("rb")
            while self._pass(near, far, answer):
                pass

    def _pass(self, near, far, answer):
        # One request, little enough for one piece, and its answer; False if it was the last.
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            piece = near.recv(4096)
            if not piece:
                return False
            request += piece
        far.sendall(request)
        cut = not self._cut and self._what in request.partition(b"\r\n")[0]
        self._cut = self._cut or cut
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += answer.readline()
        self.heads.append(head.decode())
        near.sendall(head)
        left = int(re.search(rb"\r\ncontent-length: (\d+)", head, re.IGNORECASE)[1])
        if cut:
            left = min(left, self._left)
        while left and (piece := answer.read1(min(left, 1000))):
            self.sent += len(piece)
            left -= len(piece)
            near.sendall(piece)
        return not cut


def updated(url, strategy="ab"):
    """A board with image 1 that asks at url, installs, boots and confirms; its rig."""
    rig = Rig(strategy, SIZE)
    rig.boot()
    assert ota.check_and_update(url=url)["result"] == "ready"
    assert rig.boot() is not None
    assert rig.runs(image(2, SIZE))
    assert ota.confirm()
    return rig
