"""How long an update keeps an application from running: steps of ota.aio on the virtual board.

    python bench/steps.py [--timing] [--strategy NAME]

The demo's update (a patch, and the full package), driven by ota.aio.check_and_update() on real
MicroPython over plain HTTP. Of each stage: steps, their median and the longest, in milliseconds,
and what the longest did in flash. --timing: erases and programs last as on a W25Q (45 ms a
sector, 0.4 ms for 256 bytes), which no step can make shorter than one erase. Between two steps
the event loop runs whatever else there is to do.
"""

import argparse
import re
import statistics
import tempfile
from pathlib import Path

import memory
from otatool import sim
from otatool.product import provision

# Flash is counted where every write passes, the region.
MAIN = """
import asyncio, gc, time
import ota, ota.aio
from ota import flash
counts = [0, 0]
def counted(name, i):
    inner = getattr(flash.Region, name)
    def call(self, *args):
        counts[i] += 1
        return inner(self, *args)
    setattr(flash.Region, name, call)
counted('erase', 0)
counted('program', 1)
rows = []
inner = ota.aio.steps
def timed(url=None, **options):
    work = inner(url, **options)
    stage = 'ask'
    while True:
        before = counts[:]
        start = time.ticks_us()
        try:
            step = next(work)
        except StopIteration as e:
            rows.append((stage, time.ticks_diff(time.ticks_us(), start), counts[0] - before[0],
                         counts[1] - before[1]))
            return e.value
        spent = time.ticks_diff(time.ticks_us(), start)
        rows.append((stage, spent, counts[0] - before[0], counts[1] - before[1]))
        if step:
            stage = step[0]
        yield step
ota.aio.steps = timed
done = asyncio.run(ota.aio.check_and_update())
for row in rows:
    print('STEP', *row)
print('BENCH done', done['result'])
"""


class Board(memory.Bench):
    """Boards of one strategy that print their steps."""

    def rows(self, kind: str, timing: bool) -> list[tuple[str, float, int, int]]:
        """(stage, milliseconds, erases, programs) of each step of an update."""
        flash = self._board(kind, MAIN, self._before("first"))
        board = sim.Board(flash, heap="512K", restart=False, timing=timing)
        with board:
            board.wait(lambda: re.search(rb"BENCH done \w+\r?\n|Error", board.console), 120)
        found = re.findall(rb"STEP (\w+) (\d+) (\d+) (\d+)", board.console)
        if b"BENCH done ready" not in board.console or not found:
            raise SystemExit(board.console.decode(errors="replace"))
        return [(s.decode(), int(us) / 1000, int(e), int(p)) for s, us, e, p in found]


def main() -> None:
    """Print the table."""
    p = argparse.ArgumentParser()
    p.add_argument("--timing", action="store_true")
    p.add_argument("--strategy", choices=provision.STRATEGIES)
    args = p.parse_args()
    print(f"{'':26} {'steps':>6} {'median':>8} {'longest':>8}  ms, with erases/programs")
    with tempfile.TemporaryDirectory() as name:
        old, new = memory.images()
        for strategy in provision.STRATEGIES:
            if args.strategy not in (None, strategy):
                continue
            with Board(Path(name), strategy, old, new) as board:
                for kind in ("update", "full"):
                    rows = board.rows(kind, args.timing)
                    for stage in dict.fromkeys(row[0] for row in rows):
                        print(_line(f"{strategy:9} {kind:7} {stage}", rows, stage), flush=True)


def _line(title, rows, stage):
    mine = [row for row in rows if row[0] == stage]
    _, longest, erases, programs = max(mine, key=lambda row: row[1])
    median = statistics.median(row[1] for row in mine)
    return f"{title:26} {len(mine):6} {median:8.2f} {longest:8.1f}  {erases}/{programs}"


if __name__ == "__main__":
    main()
