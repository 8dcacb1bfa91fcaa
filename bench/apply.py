"""What applying a patch costs on real MicroPython: time, memory, and the whole update.

    python bench/apply.py [--cache FOLDER] [--own FOLDER] [--family NAME] [--quick] [--repeats N]

Needs what bench/delta.py needs. The pairs are delta_pairs.py's; packages have a window of 1 KB and
blocks of 4096 bytes; the library lies as .mpy in a ROMFS, once without its machine code ("plain")
and once with it ("viper"). "patch" is a patch without a table of pointers, "filter" one with it.

Times are multiples of the floor: every sector of the image read, erased and programmed on the
same mock flash (apply_board.py), measured around each repetition; medians of the repetitions.
"decode" is the payload as one deflate stream in RAM, "whole" the device's way over chunks and
their digests. Memory is the smallest heap that applies a package minus the smallest that imports
the same modules: "decode" without, "whole" with the chunk that is received. The full image stands
beside the patches in both, and so does detools where its package is installed (apply_peer.py).
The last table is the whole update, simulated (apply_update.py). --quick: three pairs, few
repetitions.
"""

import argparse
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import apply_peer
import apply_update
from apply_run import Firmware
from delta_pairs import Pair, local, pairs
from ota import package as fmt
from otatool.patch import find as delta
from otatool.patch import payload
from otatool.release import package as build
from otatool.sim import packaging

BLOCK = 4096
WBITS = 10
CODE = ("plain", "viper")
WAYS = ("decode", "whole")
QUICK = ("mb 1.2.0 1.2.4", "shell", "demo 0.1 0.2")
FEW = 0.01  # a patch of at most this part of its image: few changes

# At most so many times the floor: the medians of all pairs, with machine code the worst of all
# and the worst of those with few changes. Bytes of memory at most.
MEDIANS = {
    ("patch", "plain"): 45,
    ("patch", "viper"): 30,
    ("filter", "plain"): 140,
    ("filter", "viper"): 36,
}
WORST, WORST_FEW = 75, 10
MEMORY = {"patch": 12 * 1024, "filter": 15 * 1024}

_META = build.Meta("bench", "1")
_SPARE = 256 * 1024  # bytes of heap beside the payload, when times are measured


@dataclass
class Job:
    """A package to apply. sent: bytes of it; few: it is a patch that changes little."""

    pair: Pair
    kind: str
    sent: int
    header: fmt.Header
    few: bool

    @property
    def title(self) -> str:
        """The pair's name."""
        return f"{self.pair.family} {self.pair.name}"


class Times(NamedTuple):
    """Nanoseconds of a repetition, as apply_board.py measures them."""

    floor: int
    decode: int
    whole: int


class Bench:
    """A folder with the firmware, plain and with machine code, and with packages of pairs."""

    def __init__(self, root: Path):
        self._root = root
        lib = packaging.ROOT / "lib"
        sources = {name: (lib / name).read_bytes() for name in packaging.device_files(lib)}
        plain = {name: data for name, data in sources.items() if not name.endswith("_viper.py")}
        self._boards = {
            "plain": Firmware(root / "plain", plain),
            "viper": Firmware(root / "viper", sources),
        }

    def jobs(self, pair: Pair) -> list[Job]:
        """Make a pair's packages; the one of a kind that does not suit it is left out."""
        folder = self.folder(pair)
        folder.mkdir()
        # The floor reads whole sectors, as many as the new image has.
        (folder / "old").write_bytes(pair.old.ljust(len(pair.new) + BLOCK, b"\xff"))
        (folder / "new").write_bytes(b"")
        smallest = delta.best(pair.old, pair.new)
        writers: dict[str, payload.PatchWriter | payload.FullWriter] = {"patch": smallest}
        if smallest.filter is not None:
            plans = delta.plan(pair.old, pair.new)
            writers["patch"] = payload.PatchWriter(plans, pair.old, pair.new, BLOCK, False)
            writers["filter"] = smallest
        writers["full"] = payload.FullWriter(pair.new, BLOCK)
        found = []
        for kind, writer in writers.items():
            old = None if kind == "full" else pair.old
            built = build.package(writer, pair.new, old, _META, (), wbits=(WBITS,))
            (folder / f"{kind}.ota").write_bytes(built.data)
            (folder / f"{kind}.raw").write_bytes(payload.stream(writer, wbits=WBITS))
            header = fmt.parse(built.data[: sum(fmt.lengths(built.data))])
            few = writer is smallest and len(built.data) <= FEW * len(pair.new)
            found.append(Job(pair, kind, len(built.data), header, few))
        return found

    def times(self, job: Job, repeats: int) -> dict[str, list[Times]]:
        """Of each code, the repetitions of a package."""
        heap = _SPARE + 4 * job.sent
        found = {}
        for code, board in self._boards.items():
            folder = str(self.folder(job.pair))
            lines = board.run(heap, "times", folder, str(repeats), job.kind)
            if lines is None:
                raise SystemExit(f"{job.title} does not apply")
            found[code] = [Times(*map(int, line.split())) for line in lines]
        return found

    def memory(self, job: Job) -> dict[tuple[str, str], int]:
        """Bytes of heap that an apply takes beyond that of its modules, for each (code, way)."""
        folder = str(self.folder(job.pair))
        return {
            (code, way): board.memory(folder, job.kind, way)
            for code, board in self._boards.items()
            for way in WAYS
        }

    def folder(self, pair: Pair) -> Path:
        """Where a pair's files lie."""
        return self._root / f"{pair.family} {pair.name}"


def print_times(rows: list[tuple[Job, dict[str, list[Times]]]]) -> None:
    """A line per package. rows: job, and of each code the repetitions."""
    heads = " | ".join(
        f"{code + ', floor':>12} {'decode':>7} {'x':>6} {'whole':>7} {'x':>6}" for code in CODE
    )
    print(f"{'ns per byte of the image':28} {'':6} {'image':>7} {'package':>7} | {heads}")
    for job, times in rows:
        size = len(job.pair.new)
        cells = []
        for code in CODE:
            cell = f"{statistics.median(t.floor for t in times[code]) / size:12.2f}"
            for way in WAYS:
                per_byte = statistics.median(getattr(t, way) for t in times[code]) / size
                cell += f" {per_byte:7.1f} {ratio(times[code], way):6.1f}"
            cells.append(cell)
        print(f"{job.title:28} {job.kind:6} {size:7} {job.sent:7} | {' | '.join(cells)}")


def ratio(times: list[Times], way: str) -> float:
    """How many times the floor beside it a repetition took; the median."""
    return statistics.median(getattr(t, way) / t.floor for t in times)


def print_memory(rows: list[tuple[Job, dict[tuple[str, str], int]]]) -> None:
    """A line per package. rows: job, and the bytes of each (code, way)."""
    heads = " ".join(f"{code + ' ' + way:>12}" for code in CODE for way in WAYS)
    print(f"{'bytes of heap':28} {'':6} {'chunk':>6} {'metadata':>8} {'table':>6} {heads}")
    for job, found in rows:
        cells = " ".join(f"{found[code, way]:12}" for code in CODE for way in WAYS)
        h = job.header
        table = 8 * h.pointers[1] if h.pointers else 0
        print(f"{job.title:28} {job.kind:6} {h.chunk_max:6} {h.meta_max:8} {table:6} {cells}")


def checks(times: list[tuple[Job, dict]], memory: list[tuple[Job, dict]]) -> Iterator[tuple]:
    """What is held to a bar, of "decode" and of "whole": (what, way, is, at most)."""
    for way in WAYS:
        for (kind, code), most in MEDIANS.items():
            found = [ratio(t[code], way) for job, t in times if job.kind == kind]
            if found:
                yield f"{kind}, {code}, median", way, statistics.median(found), most
        found = [ratio(t["viper"], way) for job, t in times if job.kind != "full"]
        yield "worst, viper", way, max(found), WORST
        found = [ratio(t["viper"], way) for job, t in times if job.few]
        if found:
            yield "few changes, worst, viper", way, max(found), WORST_FEW
        for kind, most in MEMORY.items():
            found = [b[code, way] for job, b in memory if job.kind == kind for code in CODE]
            if found:
                yield f"memory, {kind}, worst", way, max(found), most


def main(argv=None) -> None:
    """Print the tables."""
    p = argparse.ArgumentParser()
    p.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "otatool-bench")
    p.add_argument("--own", type=Path)
    p.add_argument("--family")
    p.add_argument("--repeats", type=int)
    p.add_argument("--quick", action="store_true")
    args = p.parse_args(argv)
    found = local(args.own) if args.own else pairs(args.cache)
    chosen = [pair for pair in found if args.family in (None, pair.family)]
    if args.quick and not args.own:
        chosen = [pair for pair in chosen if pair.name in QUICK]
    repeats = args.repeats or (3 if args.quick else 11)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        bench = Bench(root)
        jobs = [job for pair in chosen for job in bench.jobs(pair)]
        times = [(job, bench.times(job, repeats)) for job in jobs]
        print_times(times)
        memory = [(job, bench.memory(job)) for job in jobs]
        print()
        print_memory(memory)
        print()
        for what, way, value, most in checks(times, memory):
            word = "met" if value <= most else "missed"
            print(f"{what:28} {way:6} {value:8.5g} <= {most:5} {word}")
        print()
        peers = [(pair, bench.folder(pair)) for pair in chosen if args.own or pair.name in QUICK]
        apply_peer.print_table(root, args.cache, peers, repeats)
        print()
        decode = {
            (job.title, job.kind): statistics.median(t.whole for t in of_job["viper"]) / 1e9
            for job, of_job in times
        }
        apply_update.print_table(chosen, decode)


if __name__ == "__main__":
    main()
