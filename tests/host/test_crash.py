"""Whatever an image does wrong on its trial, the last confirmed one comes back by itself.

On the virtual board, so by real resets, timers and watchdogs. A power blip is nobody's fault:
two of them leave the trial as it is.
"""

import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from images import image as lines
from otatool import sim
from otatool.image import build as image
from otatool.product import provision
from otatool.release import keys, publish, serve

PRODUCT = "crash"
PATIENCE_S = 20
TRIES = 3
RESETS = ("resets", "soft_resets", "wdt_resets", "crashes", "power_cuts")

# 0.1 takes what the server has, and says so if it does not.
GOOD = """
import ota
from ota.errors import OtaError
s = ota.status()
print("APP 0.1", s["state"], s["reason"] or "fine")
ota.confirm()
try:
    ota.check_and_update(reset=True)
except OtaError as e:
    s = ota.status()
    print("LEFT", e.reason, s["state"], s["version"], s["reason"])
"""

# 0.2 says that it runs; what it does then is up to the test.
NEW = """
import ota, time
s = ota.status()
print("APP 0.2", s["state"], s["tries"])
"""


@dataclass
class Fault:
    """What an image does wrong. ends: what a try ends with, of RESETS; confirm_ms: the time
    it is given, None for the two minutes that it is by default."""

    what: str
    code: str
    reason: str = "tries"
    ends: str = "resets"
    confirm_ms: int | None = None


FAULTS = (
    Fault("exception at import", "import telemetry", "exception"),
    Fault(
        "exception in the loop",
        "for n in range(3, -1, -1):\n    time.sleep_ms(10)\n    6 // n",
        "exception",
    ),
    Fault("out of memory", "bytearray(1 << 24)", "memory"),
    Fault("reset", "import machine\nmachine.reset()"),
    Fault("exit", "raise SystemExit", "exception"),
    Fault("bus fault", "import virtual\nvirtual.Nor().buffer(0, 1)[0] = 0", ends="crashes"),
    Fault("hang", "while True:\n    pass", "deadline", confirm_ms=400),
    Fault("sleep", "time.sleep(1000)", "deadline", confirm_ms=400),
    Fault("no confirm", "", "deadline", confirm_ms=400),
    Fault(
        "watchdog",
        "import machine\nmachine.WDT(timeout=200)\nwhile True:\n    pass",
        ends="wdt_resets",
    ),
)


class Scene:
    """A board with 0.1 and a server that has 0.2."""

    def __init__(self, folder: Path, strategy: str, code: str, config: dict):
        self.old = _image(folder / "old", GOOD, 1)
        self.new = _image(folder / "new", NEW + code + "\n", 2)
        www = folder / "www"
        www.mkdir()
        self.server = serve.start(www)
        product = provision.Product(
            PRODUCT, strategy, self.old, url=self.server.url + publish.MANIFEST, config=config
        )
        done = provision.provision(folder / "board", product, "hmac")
        self.flash = done.flash
        self.spans = {name: (at, size) for name, at, size in done.partitions}
        key = keys.load(done.key)
        for version, data in (("0.1", self.old), ("0.2", self.new)):
            publish.publish(www, data, publish.Release(PRODUCT, version), [key])

    def board(self) -> sim.Board:
        return sim.Board(self.flash, heap="256K")

    def holds(self, name: str, data: bytes) -> bool:
        """True if a partition begins with data; the board is off."""
        return self.flash.read_bytes()[self.spans[name][0] :].startswith(data)

    def packages(self) -> list[str]:
        """What was fetched of packages."""
        return [str(r) for r in self.server.requests if serve.PACKAGES in r.path]


def _image(folder, code, number):
    folder.mkdir()
    (folder / "main.py").write_text(code)
    (folder / "data.txt").write_bytes(lines(number, 12_000))
    return image.build(folder)


@pytest.fixture
def scene(tmp_path):
    """scene(strategy, code, **config) -> Scene"""
    scenes = []

    def make(strategy, code, **config):
        scenes.append(Scene(tmp_path, strategy, code, config))
        return scenes[-1]

    yield make
    for one in scenes:
        one.server.close()


def _said(board):
    """What the applications said so far; a reset at the prompt leaves that before it."""
    return re.findall(r"(?:APP|LEFT|KEPT) [^\r\n]*", bytes(board.console).decode())


def _came_back(scene, reason):
    """0.1 is whole, knows why, does not take 0.2 again, and all that stays so."""
    assert scene.holds("active", scene.old)
    flash, packages = scene.flash.read_bytes(), scene.packages()
    assert packages
    with scene.board() as board:
        for _ in range(2):
            board.wait(f"APP 0.1 IDLE {reason}\n", PATIENCE_S)
            board.wait(f"LEFT seen IDLE 0.1 {reason}\n", PATIENCE_S)
            board.power_cycle()
    assert scene.packages() == packages
    assert scene.flash.read_bytes() == flash


# The way back is the same for all faults: the first goes it with every strategy.
_PLAYED = [
    pytest.param(strategy, fault, id=f"{strategy}-{fault.what.replace(' ', '-')}")
    for i, fault in enumerate(FAULTS)
    for j, strategy in enumerate(provision.STRATEGIES)
    if not i or j == i % len(provision.STRATEGIES)
]


@pytest.mark.parametrize(("strategy", "fault"), _PLAYED)
def test_a_fault_on_trial_leads_back(scene, strategy, fault):
    config = {} if fault.confirm_ms is None else {"confirm_ms": fault.confirm_ms}
    one = scene(strategy, fault.code, **config)
    with one.board() as board:
        board.wait("LEFT", PATIENCE_S)
        board.wait(">>>", PATIENCE_S)
        counters = board.counters()
    assert _said(board) == [
        "APP 0.1 IDLE fine",
        *[f"APP 0.2 TRIAL {left}" for left in range(TRIES - 1, -1, -1)],
        f"APP 0.1 IDLE {fault.reason}",
        f"LEFT seen IDLE 0.1 {fault.reason}",
    ]
    # Into the new image and out of it by the library, between them once for each try.
    ends = dict.fromkeys(RESETS, 0) | {"resets": 2}
    ends[fault.ends] += TRIES
    assert {name: counters[name] for name in RESETS} == ends
    _came_back(one, fault.reason)


# What each strategy does is cut in tests/shared; here one after the other with --all.
_TIERS = [s if not i else pytest.param(s, marks=pytest.mark.long)
          for i, s in enumerate(provision.STRATEGIES)]  # fmt: skip


@pytest.mark.parametrize("blips", range(1, TRIES))
@pytest.mark.parametrize("strategy", _TIERS)
def test_power_blips_on_trial_are_tolerated(scene, strategy, blips):
    left = TRIES - 1 - blips
    one = scene(
        strategy,
        f"while s['state'] == 'TRIAL' and s['tries'] > {left}:\n    time.sleep_ms(1)\n"
        "print('KEPT', ota.confirm())",
    )
    with one.board() as board:
        for n in range(blips):
            board.wait(f"APP 0.2 TRIAL {TRIES - 1 - n}\n", PATIENCE_S)
            board.power_cycle()
        board.wait(f"APP 0.2 TRIAL {left}\n", PATIENCE_S)
        board.wait("KEPT True\n", PATIENCE_S)
        # From here on power may go as often as it likes.
        for _ in range(TRIES + 1):
            board.power_cycle()
            board.wait("APP 0.2 IDLE 0\n", PATIENCE_S)
            board.wait("KEPT False\n", PATIENCE_S)
    assert one.holds("backup" if strategy == "ab" else "active", one.new)


@pytest.mark.parametrize("strategy", _TIERS)
def test_one_power_blip_more_leads_back(scene, strategy):
    one = scene(strategy, "while True:\n    time.sleep_ms(1)")
    with one.board() as board:
        for left in range(TRIES - 1, -1, -1):
            board.wait(f"APP 0.2 TRIAL {left}\n", PATIENCE_S)
            board.power_cycle()
        board.wait("APP 0.1 IDLE tries\n", PATIENCE_S)
        board.wait("LEFT seen IDLE 0.1 tries\n", PATIENCE_S)
        board.wait(">>>", PATIENCE_S)
    _came_back(one, "tries")


def test_somebody_at_the_console_uses_up_no_try(scene):
    code = "print('LOOP')\nwhile True:\n    time.sleep_ms(1)"
    one = scene("ab", code, confirm_ms=1000)
    with one.board() as board:
        board.wait("LOOP\n", PATIENCE_S)
        board.send("\x03")
        board.wait(">>>", PATIENCE_S)
        time.sleep(1.2)
        # Nor does the deadline hit who works on it; each mpremote makes a soft reset.
        for _ in range(TRIES + 1):
            ask = "import ota; s = ota.status(); print(s['version'], s['state'], s['tries'])"
            command = [sys.executable, "-m", "mpremote", "connect", board.pty, "exec", ask]
            run = subprocess.run(
                command, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL
            )
            assert run.stdout == "0.2 TRIAL 2\n", run.stdout + run.stderr
        counters = board.counters()
    assert counters["soft_resets"] >= TRIES + 1
    assert (counters["resets"], counters["power_cuts"]) == (1, 0)
