"""One strategy's story: update, power cut, crash. Every expected step is checked."""

import contextlib
import hashlib
import http.client
import json
import shutil
import socket
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import sim
from ..errors import ToolError
from ..product import provision
from ..release import keys, publish, serve
from .application import BROKEN, NEW, OLD
from .stage import Stage

HEAP = "192K"  # about what a Pico W has; the application is running while it updates
PRODUCT = "demo"
_TRIES = 3
_PATIENCE_S = 30
_SLOTS = ("active", "backup")

# No proxy stands between this computer and itself.
_HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass
class Result:
    """What the first update, 0.1 to 0.2, took.

    Attributes:
        image, package: bytes of the new image and of its full package.
        downloaded: bytes of the manifest and of all bodies of packages.
        erases, programs: calls to the flash until it was confirmed.
        peak_heap: bytes, see sim.Board.counters().
        seconds: from publishing to confirm.
    """

    strategy: str
    image: int
    package: int
    downloaded: int
    erases: int
    programs: int
    peak_heap: int
    seconds: float


@dataclass
class _Marks:
    """Flash operations of the first update, counted from power-on: when it was published,
    when the new image was armed, when it had confirmed itself."""

    published: int
    ready: int
    confirmed: int


def play(
    strategy: str, images: dict[str, bytes], folder: Path, stage: Stage, heap: str = HEAP
) -> Result:
    """Play the story of one strategy in folder, which is kept.

    Args:
        images: of application.images().

    Raises:
        ToolError: a step does not happen.
    """
    www = folder / "www"
    www.mkdir(parents=True, exist_ok=True)
    with serve.Server(www) as server, _held_port() as port:
        story = _Story(strategy, images, folder, stage, heap, server, port)
        stage.act(f"{strategy}: from {OLD} to {NEW}")
        result, marks = story.update()
        stage.act(f"{strategy}: power goes in the middle of it")
        story.power_cut(marks)
        stage.act(f"{strategy}: {BROKEN} crashes at its start")
        story.crash()
    return result


class _Story:
    """The board, the folder it updates from, and what is known of both."""

    def __init__(self, strategy, images, folder, stage, heap, server, port):
        self.strategy = strategy
        self.images = images
        self.stage = stage
        self.heap = heap
        self.server = server
        self.app_port = port
        self.address = f"http://127.0.0.1:{self.app_port}"
        config = {
            "app": {"host": "127.0.0.1", "port": self.app_port, "every_s": 1},
            "tries": _TRIES,
        }
        url = server.url + publish.MANIFEST
        product = provision.Product(PRODUCT, strategy, images[OLD], OLD, url=url, config=config)
        self.product = provision.provision(folder, product)
        self.partitions = {name: (at, size) for name, at, size in self.product.partitions}
        self.key = keys.load(self.product.key)
        self.board: sim.Board

    # -- the three acts --------------------------------------------------------------------

    def update(self) -> tuple[Result, "_Marks"]:
        """0.1 runs, 0.2 is published; the device finds, installs and confirms it."""
        size = len(self.images[OLD])
        self.stage.step(f"start a new board with image {OLD}, {size} bytes, heap {self.heap}")
        self.publish(OLD)
        self._saved(self.product.flash)
        with self.start(measure=True) as self.board:
            self.runs(OLD)
            self.serves()
            published = self.board.counters()
            packages = self.publish(NEW)
            began = time.monotonic()
            self.wait(f"app {OLD}: {NEW} is ready")
            ready = self.board.counters()
            self.wait(f"app {NEW}: confirmed")
            confirmed = self.board.counters()
            seconds = time.monotonic() - began
            self.runs(NEW, OLD)
            self.serves()
        downloaded = len((self.server.folder / publish.MANIFEST).read_bytes()) + sum(
            r.sent for r in self.server.requests if serve.PACKAGES in r.path
        )
        result = Result(
            self.strategy,
            len(self.images[NEW]),
            packages["full"],
            downloaded,
            confirmed["erases"] - published["erases"],
            confirmed["programs"] - published["programs"],
            confirmed["peak_heap"],
            seconds,
        )
        if downloaded >= result.package:
            raise ToolError(f"{downloaded} bytes downloaded: that was no delta")
        self.stage.seen(f"a delta: {downloaded} bytes downloaded instead of {result.package}")
        return result, _Marks(*(c["operations"] for c in (published, ready, confirmed)))

    def power_cut(self, marks: "_Marks") -> None:
        """The same update again on the same board, and power goes twice while it is applied."""
        # Strategy ab writes the new image while it comes, the others do so after a reset.
        first, last = (
            (marks.published, marks.ready)
            if self.strategy == "ab"
            else (marks.ready, marks.confirmed)
        )
        at = first + (last - first) * 2 // 3
        again = max(2, (last - at) // 3)
        self.stage.step(
            f"set the board back to {OLD}; power goes at flash operation {at} "
            f"(the clean update wrote the image from {first} to {last}), and once more "
            f"{again} operations later"
        )
        shutil.copy(self._saved(), self.product.flash)
        shutil.copy(_page(self._saved()), _page(self.product.flash))
        self.board = self.start(cut=[at, again])
        with self.board:
            self.until(lambda: self.board.counters()["power_cuts"] >= 1, "the first power cut")
            self.stage.seen("power is gone in the middle of an operation; the board starts again")
            self.until(lambda: self.board.counters()["power_cuts"] >= 2, "the second power cut")
            self.stage.seen("and gone once more, while it recovers")
            self.wait(f"app {NEW}: confirmed")
            self.runs(NEW, OLD)
            cuts = self.board.counters()["power_cuts"]
            if cuts != 2:
                raise ToolError(f"power should have gone twice, it went {cuts} times")

    def crash(self) -> None:
        """0.3 cannot start: three tries, then 0.2 is back and says why."""
        with self.start() as self.board:
            self.runs(NEW)
            self.publish(BROKEN)
            self.wait(f"app {NEW}: {BROKEN} is ready")
            for n in range(1, _TRIES + 1):
                self.wait("ImportError: no module named 'telemetry'")
                self.stage.seen(f"{BROKEN} crashes, try {n} of {_TRIES}")
            self.wait(f"app {NEW}: serving")
            status = self.runs(NEW)
            if status["reason"] != "exception":
                raise ToolError(f"the reason should be exception, /status says {status}")
            self.stage.seen(
                f"{NEW} is back by itself; /status: {status['reason']} (code {status['code']})"
            )
            self.wait(f"app {NEW}: no update: seen")
            self.stage.seen(f"{BROKEN} is offered still, and not taken a second time")

    # -- what the acts are made of ---------------------------------------------------------

    def start(self, cut=None, measure=False) -> sim.Board:
        return sim.Board(
            self.product.flash, self.heap, cut, measure=measure, output=self.stage.board
        )

    def publish(self, version: str) -> dict[str, int]:
        """Publish a release; size of the packages by kind."""
        release = publish.Release(PRODUCT, version, in_place=self.strategy == "inplace")
        done = publish.publish(self.server.folder, self.images[version], release, [self.key])
        sizes = {kind: size for kind, _, size, _ in reversed(done.rows)}
        if version != OLD:
            made = ", ".join(
                f"{kind} {base} {size}".replace("  ", " ") for kind, base, size, _ in done.rows
            )
            self.stage.step(f"publish {version} (bytes: {made})")
        return sizes

    def runs(self, version: str, previous: str = "") -> dict:
        """Check that version answers, is confirmed and is complete in its slot, and that
        previous, if given, is there to go back to. Returns /status."""
        self.until(lambda: self.ask("/version") == version, f"version {version}")
        status = json.loads(self.until(lambda: self.ask("/status"), "/status"))
        expected = {"state": "IDLE", "version": version}
        if previous:
            expected["previous"] = previous
        for name, value in expected.items():
            if status[name] != value:
                raise ToolError(f"/status says {name} {status[name]!r} instead of {value!r}")
        slot = status["slot"]
        self.holds(_SLOTS[slot], version)
        if previous and self.strategy != "inplace":
            self.holds(_SLOTS[1 - slot], previous)
        self.stage.seen(
            f'{self.address}/version answers {version}, slot "{_SLOTS[slot]}" holds it'
        )
        return status

    def serves(self) -> None:
        """Check that the application does its work, from the files of its image."""
        page, source = self.ask("/"), self.ask("/source")
        if "</html>" not in page or "class Microdot" not in source:
            raise ToolError("the application answers, but not with its page and its source")

    def holds(self, name: str, version: str) -> None:
        """Check the digest of a slot."""
        image = self.images[version]
        at, _ = self.partitions[name]
        found = hashlib.sha256(self.board.flash[at : at + len(image)]).hexdigest()
        if found != hashlib.sha256(image).hexdigest():
            raise ToolError(f'slot "{name}" does not hold image {version}')

    def ask(self, path: str) -> str:
        """What the application answers, "" while it does not."""
        try:
            with _HTTP.open(self.address + path, timeout=5) as answer:
                return answer.read().decode()
        except (OSError, http.client.HTTPException):
            return ""

    def wait(self, text: str) -> None:
        """Until the board has printed a line with text."""
        try:
            self.board.wait_line(text, _PATIENCE_S)
        except TimeoutError as e:
            raise ToolError(str(e)) from e

    def until(self, ready: Callable[[], Any], what: str) -> Any:
        """Wait until ready() returns something true; return it."""
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            value = ready()
            if value:
                return value
            time.sleep(0.05)
        end = bytes(self.board.console[-800:]).decode(errors="replace")
        raise ToolError(f"{what}: not within {_PATIENCE_S} s; the board's console ends:\n{end}")

    def _saved(self, of: Path | None = None) -> Path:
        """The board as it was delivered; of: save it."""
        path = self.product.flash.with_name("delivered.flash")
        if of:
            shutil.copy(of, path)
            shutil.copy(_page(of), _page(path))
        return path


def _page(flash: Path) -> Path:
    return flash.with_name(flash.name + ".board")


@contextlib.contextmanager
def _held_port() -> Iterator[int]:
    """A port of loopback that nobody else gets, but the application may listen on."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
        if sys.platform != "linux":
            s.close()  # elsewhere nobody can listen on what somebody has bound
        yield port
