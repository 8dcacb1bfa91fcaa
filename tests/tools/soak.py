"""The virtual board survives a night's worth of updates in minutes.

    python tests/tools/soak.py                         500 updates of every strategy
    python tests/tools/soak.py --updates 20            a quick look
    python tests/tools/soak.py --seed 7 --strategy ab  the same random choices again

One board per strategy is updated back and forth between two images while its power is cut at
random: killed at a random time (on flash as slow as a real chip), or at a random flash operation
with a random effect (fast flash), about two cuts per update. After each update the board is off
and its flash is compared with what was published; what the application printed on the way must
fit what power cuts may do, and nothing else. The seed repeats what is chosen: packages, kinds,
places and effects of cuts. The time at which a kill hits cannot be repeated.

Prints figures for every strategy; the exit status is 1 if a check failed. Then a folder holds
the flash before and after, the console and the choices of that update.
"""

import argparse
import multiprocessing
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
import folders

folders.add()

from images import image as lines
from otatool import sim
from otatool.image import build as image
from otatool.product import provision
from otatool.release import keys, publish, serve
from otatool.sim.launcher import EFFECTS

PRODUCT = "soak"
FIXED = "as-it-was-written-on-the-first-day"
HEAP = "256K"
# More than there are cuts in one update: only an image that fails by itself is given up.
TRIES = 8
LIMIT_S = 30  # for an update or what is left of one, two seconds of work at the most
_LIVES = ("boots", "power_cuts", "crashes", "wdt_resets", "soft_resets")
# The application never ends, so a prompt is trouble as well.
TROUBLE = re.compile(rb"Traceback|REFUSED|root filesystem:|>>> ")

# The images' main module. Everything it prints is checked by Watch.
MAIN = """
import time

import ota
from ota.errors import OtaError, TransportError

kv = ota.store()
s = ota.status()
print("APP", CONTENT, s["version"], s["state"], s["code"])
count = int.from_bytes(kv.get("soak.count") or bytes(4), "little")
one, two = kv.get("soak.one"), kv.get("soak.two")
pair = (one or b"none").decode() if one == two else "torn"
print("KEPT", count, (kv.get("soak.fixed") or b"none").decode(), pair)
if not count:
    kv.set("soak.fixed", FIXED)
if count % 3 == 0:
    # Now and then both of them, in other lengths: this takes the whole store.
    text = (str(count) + ".") * (1 + count % 5)
    kv.batch((("soak.one", text.encode()), ("soak.two", text.encode())))
kv.set("soak.count", (count + 1).to_bytes(4, "little"))
print("STORED", count + 1)
ota.confirm()
s = ota.status()
print("SETTLED", CONTENT, s["version"], s["state"], s["slot"], s["previous"])
while True:
    try:
        ota.check_and_update(reset=True)
    except TransportError as e:
        print("LATER", e.reason)
    except OtaError as e:
        print("REFUSED", e.reason, e.code)
    time.sleep_ms(50)
"""


class Failed(Exception):
    """A check did not hold; args: what."""


@dataclass
class Cut:
    """A power cut that is wanted. effect: of a planned one, "" for a kill. at: when, from
    switching on, as a fraction of the flash operations (planned) or of the time (a kill) that
    an update takes without cuts."""

    effect: str
    at: float

    def __str__(self) -> str:
        return f"{self.effect or 'kill'} at {self.at:.3f}"


@dataclass
class Result:
    """What became of a strategy. cuts: how often, by kind. wear: by partition, erases of each
    of its sectors. spent: seconds, by what for. later: connections that failed. failure: what
    was wrong, "" for nothing. kept: where to look."""

    strategy: str
    updates: int = 0
    cuts: Counter = field(default_factory=Counter)
    boots: int = 0
    erases: int = 0
    later: int = 0
    wear: dict[str, list[int]] = field(default_factory=dict)
    seconds: float = 0
    spent: Counter = field(default_factory=Counter)
    failure: str = ""
    kept: Path | None = None

    def __str__(self) -> str:
        planned = ", ".join(f"{self.cuts[e]} {e}" for e in EFFECTS)
        total = sum(self.cuts.values())
        used = {name: [n for n in each if n] for name, each in self.wear.items()}
        wear = "; ".join(
            f"{name} {min(n)} to {max(n)} in {len(n)} of {len(self.wear[name])} sectors"
            for name, n in used.items()
            if n
        )
        per = self.seconds / max(1, self.updates)
        spent = ", ".join(f"{what} {seconds:.1f} s" for what, seconds in self.spent.items())
        return (
            f"{self.strategy}: {self.updates} updates, {total} cuts ({self.cuts['kill']} killed; "
            f"planned: {planned}), {self.boots} boots, {self.erases} erases\n"
            f"  erases of a sector: {wear}\n"
            f"  {self.seconds:.1f} s, {per:.2f} s per update; {spent}; "
            f"{self.later} connections failed"
        )


def choices(seed: int, strategy: str, number: int) -> tuple[bool, list[Cut]]:
    """What is chosen for an update: only a full package is published, and its cuts."""
    rng = random.Random(f"{seed} {strategy} {number}")
    full = rng.random() < 0.2
    cuts, left = [], 1.0
    for _ in range(rng.choice((1, 1, 2, 2, 3, 4))):
        effect = "" if rng.random() < 0.5 else rng.choice(sorted(EFFECTS))
        # A recovery goes on where power went; the next cut lies in what is left to do, and
        # some at its very beginning.
        at = rng.uniform(0, left) if rng.random() < 0.8 else rng.uniform(0, 0.1)
        left = max(0.1, left - at)
        cuts.append(Cut(effect, at))
    return full, cuts


def contents(folder: Path) -> dict[str, bytes]:
    """The two images, by letter. Text that moves, noise that does not compress; all blocks
    differ, and the lengths."""
    noise = random.Random("noise").randbytes(22_000)
    data = {
        "A": lines(1, 16_000) + noise[:12_000],
        "B": lines(2, 16_000) + noise[12_000:18_000] + noise[6_000:12_000] + noise[18_000:],
    }
    made = {}
    for letter, padding in data.items():
        app = folder / letter
        app.mkdir()
        head = f"CONTENT = {letter!r}\nFIXED = {FIXED.encode()!r}\n"
        (app / "main.py").write_text(head + MAIN)
        (app / "data.bin").write_bytes(padding)
        made[letter] = image.build(app)
    return made


class Watch:
    """Reads what the application prints, over all boots, and raises Failed at what power cuts
    do not explain.

    expect() says what may run from now on. settled: (slot, previous version) as printed once
    the new version was confirmed, None before. later: failed connections so far.
    """

    def __init__(self):
        self._old = self._new = ("", "")
        self._on_new = False
        self._counts = {0}  # what the application may find in its counter next
        self.later = 0
        self.settled: tuple[int, str] | None = None

    def expect(self, old: tuple[str, str], new: tuple[str, str]) -> None:
        """An update begins; old, new: letter and version."""
        self._old, self._new, self._on_new, self.settled = old, new, False, None

    def read(self, console: bytes) -> int:
        """Check the console of one run; returns how often the application was reached."""
        words = {
            "APP": self._app,
            "KEPT": self._kept,
            "STORED": self._stored,
            "SETTLED": self._settled,
            "LATER": self._later,
        }
        starts = 0
        # What power cut off in the middle of a line says nothing.
        for line in console.decode(errors="replace").replace("\r", "").split("\n")[:-1]:
            word, *rest = line.split(" ")
            if word in words:
                words[word](*rest)
            starts += word == "APP"
        if TROUBLE.search(console):
            raise Failed("trouble on the console")
        return starts

    def _app(self, letter, version, state, code):
        self._on_new = self._runs(letter, version)
        if state not in (("IDLE", "TRIAL") if self._on_new else ("IDLE", "FETCH")):
            raise Failed(f"version {version} was started in state {state}")
        if int(code) >= 40:  # below: the network
            raise Failed(f"version {version} was started with reason {code}")

    def _runs(self, letter, version):
        """True if that is the new version. Raises Failed unless it may run."""
        if (letter, version) == self._new:
            return True
        if (letter, version) != self._old or self._on_new:
            still = "" if self._on_new else f" or still {' '.join(self._old)}"
            raise Failed(f"{letter} {version} runs, not {' '.join(self._new)}{still}")
        return False

    def _kept(self, count, fixed, pair):
        n = int(count)
        if n not in self._counts:
            raise Failed(f"the application's counter is {n}, not one of {sorted(self._counts)}")
        # If power goes before the console shows the next one, it may have lasted or not.
        self._counts = {n, n + 1}
        if n and fixed != FIXED:
            raise Failed(f"the application's fixed value is {fixed!r}")
        pairs = [_pair((n - 1) // 3 * 3) if n else "none"]
        if n % 3 == 0:  # written before the counter was, then power went
            pairs.append(_pair(n))
        if pair not in pairs:
            raise Failed(f"the application's pair is {pair!r} at count {n}, not one of {pairs}")

    def _stored(self, count):
        if int(count) != max(self._counts):
            raise Failed(f"the application stored {count}, not {max(self._counts)}")
        self._counts = {int(count)}

    def _settled(self, letter, version, state, slot, previous):
        if self._runs(letter, version):
            if state != "IDLE":
                raise Failed(f"version {version} is in state {state} after it was confirmed")
            self.settled = int(slot), previous

    def _later(self, *_):
        self.later += 1


def _pair(count: int) -> str:
    return f"{count}." * (1 + count % 5)


class Soak:
    """One board of a strategy, its server and what is known of it; a context manager.

    flash: path of the board. spans: its partitions as name -> (offset, size). watch: what is
    read on the console. result: figures so far. what: it is doing.
    """

    def __init__(self, strategy: str, seed: int, folder: Path):
        self.result = Result(strategy)
        self.what = ""
        self._seed = seed
        self._images = contents(folder)
        self._www = folder / "www"
        self._www.mkdir()
        self._server = serve.start(self._www)
        product = provision.Product(
            PRODUCT, strategy, self._images["A"],
            url=self._server.url + "manifest.ota", config={"tries": TRIES},
        )  # fmt: skip
        done = provision.provision(folder / "board", product)
        self.flash = done.flash
        self.spans = {name: (at, size) for name, at, size in done.partitions}
        self._key = keys.load(done.key)
        self._release = 0
        self._publish(full=True)
        self.watch = Watch()
        self._console: list[bytes] = []
        self._before: dict[str, bytes] = {}
        self._choices = ""
        # How long an update without cuts takes: flash operations, and seconds on slow flash.
        self._operations, self._seconds = 0, 0.0
        self._counters: dict = {}  # after the last run

    def __enter__(self) -> "Soak":
        return self

    def __exit__(self, *_) -> None:
        self._server.close()

    def rehearse(self) -> None:
        """The first start, then an update without cuts: it shows how long one takes."""
        self.what = "rehearsal"
        self.watch.expect(_names(1), _names(1))
        self._run()
        self._begin(full=False)
        begin = time.monotonic()
        self._run(timing=True)
        self._seconds = time.monotonic() - begin
        self._operations = self._counters["operations"]
        self.check()

    def update(self, tamper: Callable[["Soak"], None] | None = None) -> None:
        """Publish the next release and see the board through to it. Raises Failed.

        tamper: called before the flash is checked, for tests of the checks.
        """
        number = self.result.updates + 1
        self.what = f"update {number}"
        full, cuts = choices(self._seed, self.result.strategy, number)
        self._begin(full)
        for cut in cuts:
            if self._run(cut, timing=not cut.effect):
                break
        else:
            self._run()
        if tamper:
            tamper(self)
        self.check()
        self.result.updates += 1

    def check(self) -> None:
        """Compare the flash of the board, which is off, with what was published."""
        assert self.watch.settled
        slot, previous = self.watch.settled
        flash = self.flash.read_bytes()
        names = ("active", "backup")
        self._holds(flash, names[slot], self._release)
        old = _names(self._release - 1)[1]
        if previous != old:
            raise Failed(f"the previous version is {previous!r}, not {old!r}")
        if "backup" in self.spans:
            self._holds(flash, names[1 - slot], self._release - 1)

    def keep(self, folder: Path) -> Path:
        """Copy what helps to find out into folder; returns it."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in {**self._before, **self._files("after")}.items():
            (folder / name).write_bytes(data)
        (folder / "console.txt").write_bytes(b"".join(self._console))
        (folder / "choices.txt").write_text(self._choices)
        shutil.copytree(
            self._www, folder / "www", ignore=lambda *_: [".history"], dirs_exist_ok=True
        )
        for letter, data in self._images.items():
            (folder / f"{letter}.img").write_bytes(data)
        return folder

    def _begin(self, full):
        self._before = self._files("before")
        self._console = []
        self._publish(full)
        old, new = _names(self._release - 1), _names(self._release)
        self._choices = (
            f"seed {self._seed}, strategy {self.result.strategy}, "
            f"{self.what}: {' '.join(old)} to {' '.join(new)}, "
            f"{'full package' if full else 'delta'}\n"
            f"an update takes {self._operations} flash operations, {self._seconds:.2f} s\n"
            f"the board asks {self._server.url}\n"
        )
        self.watch.expect(old, new)

    def _publish(self, full):
        self._release += 1
        begin = time.monotonic()
        letter, version = _names(self._release)
        release = publish.Release(PRODUCT, version, last=0 if full else 1, quick=True)
        publish.publish(self._www, self._images[letter], release, [self._key])
        self.result.spent["publishing"] += time.monotonic() - begin

    def _run(self, cut: Cut | None = None, timing: bool = False) -> bool:
        """Switch on, until the cut or until the update is through; True if it is through.

        Leaving the board switches it off: a kill is no more than that, at its time.
        """
        planned = max(1, round(cut.at * self._operations)) if cut and cut.effect else None
        board = sim.Board(
            self.flash, HEAP, cut=planned, cut_effect=cut.effect if planned else "middle",
            once=planned is not None, timing=timing,
        )  # fmt: skip
        limit = cut.at * self._seconds if cut and not planned else LIMIT_S

        def over():
            console = bytes(board.console)
            return not board.running or self._through(console) or TROUBLE.search(console)

        late = False
        begin = time.monotonic()
        with board:
            try:
                board.wait(over, limit)
            except TimeoutError:
                late = True
            if TROUBLE.search(bytes(board.console)):
                time.sleep(0.5)  # the rest of a traceback
        kind = "on slow flash" if timing else "on fast flash"
        self.result.spent[kind] += time.monotonic() - begin
        return self._after(board, cut, planned, late)

    def _after(self, board, cut, planned, late):
        """What a run did; True if the update is through. Raises Failed."""
        after = board.counters()
        did = {k: after[k] - self._counters.get(k, 0) for k in _LIVES}
        self._counters = after
        console = bytes(board.console)
        word = f"{cut}, " if cut else ""
        self._choices += f"{word}{board.left}\n"
        self._console += [b"-- ", f"{word}{board.left}\n".encode(), console, b"\n"]
        self._count(after)
        starts = self.watch.read(console)
        self.result.later = self.watch.later
        through = self.watch.settled is not None
        hit = did["power_cuts"] > 0 or (late and not planned and cut is not None)
        if did["crashes"] or did["wdt_resets"] or did["soft_resets"]:
            raise Failed(f"the board went down by itself: {board.left}")
        # The boot in which power goes need not reach the application, every other one must.
        if not 0 <= did["boots"] - starts <= (1 if hit else 0):
            raise Failed(f"{did['boots']} boots, but the application was reached {starts} times")
        if hit and not through:
            self.result.cuts[cut.effect if planned else "kill"] += 1
        elif not through:
            raise Failed(f"not settled after {LIMIT_S} s")
        return through

    def _through(self, console):
        at = console.find(f"SETTLED {' '.join(_names(self._release))} ".encode())
        return at >= 0 and console.find(b"\n", at) >= 0

    def _count(self, counters):
        r = self.result
        r.boots, r.erases = counters["boots"], counters["erases"]
        sector = self.flash.stat().st_size // len(counters["wear"])
        for name in ("active", "backup", "ota", "kv"):
            if name in self.spans:
                at, size = self.spans[name]
                r.wear[name] = counters["wear"][at // sector : (at + size) // sector]

    def _holds(self, flash, name, release):
        """Raise Failed unless a slot begins with a release's image."""
        data = self._images[_names(release)[0]]
        found = flash[self.spans[name][0] :][: len(data)]
        if found != data:
            wrong = [i for i in range(len(data)) if found[i] != data[i]]
            raise Failed(
                f"{name} is not {' '.join(_names(release))}: "
                f"{len(wrong)} bytes differ, from {wrong[0]} to {wrong[-1]}"
            )

    def _files(self, when):
        """The two files of the board, by name."""
        page = self.flash.with_name(self.flash.name + ".board")
        names = (f"{when}.flash", f"{when}.flash.board")
        return dict(zip(names, (self.flash.read_bytes(), page.read_bytes()), strict=True))


def _names(release: int) -> tuple[str, str]:
    """Letter of the image and version."""
    return "BA"[release % 2], f"0.{release}"


def play(
    strategy: str,
    updates: int,
    seed: int,
    keep: Path,
    tamper: Callable[[Soak], None] | None = None,
) -> Result:
    """Run a board through updates until one fails; then keep what helps in a folder of keep."""
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        with Soak(strategy, seed, Path(name)) as soak:
            result = soak.result
            begin = time.monotonic()
            try:
                soak.rehearse()
                while result.updates < updates:
                    soak.update(tamper)
                    if result.updates % 50 == 0:
                        print(f"{strategy}: {result.updates} updates", flush=True)
            except Failed as e:
                result.failure = f"{soak.what}: {e}"
                result.kept = soak.keep(keep / strategy)
            result.seconds = time.monotonic() - begin
    return result


def run(strategies: list[str], updates: int, seed: int, keep: Path) -> list[Result]:
    """play() for each strategy, side by side."""
    one = partial(play, updates=updates, seed=seed, keep=keep)
    # Not forked: boards and servers live in threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(strategies), context) as pool:
        return list(pool.map(one, strategies))


def report(results: list[Result]) -> int:
    """Print the figures; returns the exit status."""
    for result in results:
        print(result)
    for result in results:
        if result.failure:
            print(f"FAILED {result.strategy}, {result.failure}\n  see {result.kept}")
    return 1 if any(r.failure or not r.updates for r in results) else 0


def main(args: list[str] | None = None) -> int:
    """Run what the arguments ask for, strategies side by side; returns the exit status."""
    p = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    p.add_argument("--updates", type=int, default=500, help="of each strategy (500)")
    p.add_argument("--seed", type=int, help="of an earlier run, to choose the same again")
    p.add_argument("--strategy", choices=provision.STRATEGIES, help="only this one")
    p.add_argument("--keep", type=Path, help="folder for what failed (a temporary one)")
    options = p.parse_args(args)
    seed = random.randrange(1 << 32) if options.seed is None else options.seed
    keep = options.keep or Path(tempfile.gettempdir()) / f"soak-failed-{seed}"
    strategies = [options.strategy] if options.strategy else list(provision.STRATEGIES)
    print(f"seed {seed}", flush=True)
    return report(run(strategies, options.updates, seed, keep))


if __name__ == "__main__":
    sys.exit(main())
