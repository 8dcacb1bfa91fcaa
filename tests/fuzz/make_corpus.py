"""Make tests/vectors/fuzz: the fewest, shortest cases that reach all that many reach.

    python tests/fuzz/make_corpus.py [--seeds N] [FOLDER ...]

FOLDER: of atheris_run.py. What is kept are bytes and outcomes, not choices, so the files stay
good when the grammar changes; base.bin, the old image of the small board, is never made anew.
Cases that are there already are kept as long as they reach something.
"""

import argparse
import subprocess
import sys
from collections import Counter
from pathlib import Path

_TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_TESTS))
import folders  # noqa: E402

folders.add()

import choices  # noqa: E402
import fuzz_run  # noqa: E402
import oracle  # noqa: E402
import packages  # noqa: E402
import plant  # noqa: E402
import reach  # noqa: E402
import streams  # noqa: E402

OUT = _TESTS / "vectors" / "fuzz"
FILES = ("streams.bin", "small.bin", "vectors.bin")
_BYTES = {"streams.bin": 90_000, "small.bin": 140_000, "vectors.bin": 60_000}


class Trace:
    """The steps from line to line of the parts of the library that take what comes."""

    def __init__(self):
        self.arcs = set()

    def __enter__(self):
        sys.settrace(self._call)
        return self

    def __exit__(self, *_):
        sys.settrace(None)

    def _call(self, frame, event, arg):
        path = frame.f_code.co_filename
        at = path.rfind("/ota/") + 5
        if at < 5 or path[at:] not in reach.FILES:
            return None
        name = path[at:]
        last = [0]

        def line(frame, event, arg):
            if event == "line":
                self.arcs.add((name, last[0], frame.f_lineno))
                last[0] = frame.f_lineno
            return line

        return line


def file_of(case):
    """Which of FILES a case belongs into."""
    if case["kind"] == "stream":
        return "streams.bin"
    return "small.bin" if case["board"] == "small" else "vectors.bin"


def cases(seeds, folders):
    """Generator over cases: those that are there, of seeds, of the inputs of folders."""
    for name in FILES:
        if (OUT / name).exists():
            yield from (case for case, _ in fuzz_run.load(name))
    for seed in range(seeds):
        yield streams.make(choices.Seeded(seed))
        yield packages.make(choices.Seeded(seed))
    for folder in folders:
        for path in sorted((folder / "inputs").iterdir()):
            source = choices.Bytes(path.read_bytes())
            yield packages.make(source) if source.below(3) else streams.make(source)


def reached(case):
    """(outcome, what the case reaches) under the oracle."""
    with Trace() as trace, reach.Reached() as refusals:
        # The counted lines of the oracle would take the trace away.
        said = oracle.judge(case)
    # Which step goes wrong in how many ways is worth more of these short ones.
    more = set()
    if case["kind"] == "stream":
        form = case["ordered"], bool(case["stash"]), (case["pointers"] or [0])[0]
        more = {(said.split()[0], *form, *arc) for arc in trace.arcs}
    words = " ".join(w for w in said.split() if len(w) != 16 and not w.isdigit())
    kind = case.get("strategy") or ("ordered" if case["ordered"] else "turn")
    found = {(kind, words), *trace.arcs, *more}
    if case["kind"] == "stream":
        found.add(("pointers", case["pointers"] and case["pointers"][0], words))
    return said, found | {(kind, *line) for line in refusals.lines}


def _on_micropython(name):
    """{number of a case: " | " and its outcome on MicroPython, where that is another one}."""
    code = (
        "import sys; sys.path.insert(0, 'tests'); import folders; folders.add()\n"
        "import fuzz_run\n"
        f"for n, got, want in fuzz_run.differences({name!r}):\n"
        "    if want: print('%d|%s' % (n, got))"
    )
    command = [Path(sys.executable).parent / "micropython", "-X", "heapsize=16M", "-c", code]
    done = subprocess.run(command, cwd=_TESTS.parent, capture_output=True, text=True, check=True)
    lines = [line.split("|") for line in done.stdout.splitlines()]
    return {int(number): " | " + got for number, got in lines}


def main():
    """Write the files."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3000)
    parser.add_argument("folders", type=Path, nargs="*")
    args = parser.parse_args()
    found = []
    every = list(cases(args.seeds, args.folders))
    shows = {}  # a case by which a planted fault is noticed
    for fault in plant.faults():
        _, finding, case = plant.noticed(
            fault, (c for c in every if c["kind"] + "s" == fault.tests[0])
        )
        if finding:
            shows.setdefault(id(case), set()).add(("fault", fault.name))
        else:
            print("NOT NOTICED", fault.name)
    for case in every:
        said, what = reached(case)
        what |= shows.get(id(case), set())
        found.append((len(fuzz_run.pack(case, said)), file_of(case), case, said, what))
    # Rare things first, each by the shortest case that does it.
    count = Counter(thing for *_, what in found for thing in what)
    found.sort(key=lambda f: f[0])
    chosen, have, room = {name: [] for name in FILES}, set(), dict(_BYTES)
    for thing, _ in sorted(count.items(), key=lambda c: (c[1], str(c[0]))):
        if thing in have:
            continue
        for size, name, case, said, what in found:
            if thing in what and room[name] >= size:
                chosen[name].append(fuzz_run.pack(case, said))
                room[name] -= size
                have |= what
                break
    for name, lines in chosen.items():
        (OUT / name).write_bytes(b"".join(lines))
        other = _on_micropython(name)
        (OUT / name).write_bytes(
            b"".join(
                fuzz_run.pack(case, want + other.get(n, ""))
                for n, (case, want) in enumerate(fuzz_run.load(name), 1)
            )
        )
        print(name, len(lines), sum(map(len, lines)), other)
    print(len(found), "cases,", len(count), "things,", len(count) - len(have), "left out")


if __name__ == "__main__":
    main()
