"""Prove that flash never loses: every cut, every effect, and then some.

    python tests/prove                     all of it, on all cores
    python tests/prove --quick             a sample of everything, under a minute
    python tests/prove --part kv           one part: kv, update, twice, network, bytes, resets,
                                           contents, flips
    python tests/prove --replay CODE       one case again, as a failure printed it
    python tests/prove --driver mine:make  the KV on your own driver: mine.make() gives it
    python tests/prove --help              this text

The quick run works on MicroPython too. docs/reliability.md says what is proven and what is not.
"""

import sys

import prove_driver
import prove_flash
import prove_network
from explore import Failed
from faults import EFFECTS
from prove_kv import Geometry, Scenario, resets
from prove_tries import Tries
from prove_update import GEOMETRIES, KINDS, Update, name_of

PARTS = ("kv", "update", "twice", "network", "bytes", "resets", "contents", "flips")
_LIKE = "kv-2x512u8-7-10-weak"
_VALUED = ("--part", "--replay", "--driver")
_FLIPS = 16384  # bytes of the store in which bits are flipped
# Second cuts: what a recovery does is cut in these ways.
_AGAIN = ("before", "prefix", "bits", "weak", "blank-weak", "ecc")
_WEAK = ("before", "after", "prefix", "weak", "blank-weak")


def geometries():
    """Every flash and use of it that the KV is tried on."""
    found = []
    for unit in (1, 2, 4, 8, 16, 32):
        for sectors, size in ((2, 512), (3, 512), (4, 1024), (2, 2048), (8, 1024)):
            if size >= 64 * unit:
                found.append(Geometry(sectors, size, unit, 4, 12))
    for unit in (64, 128, 256):
        for sectors, size in ((2, 4096), (4, 4096)):
            found.append(Geometry(sectors, size, unit, 4, 24))
    for unit in (8, 16, 32):
        for sectors, size in ((2, 512), (3, 1024), (4, 1024)):
            if size >= 64 * unit:
                found.append(Geometry(sectors, size, unit, 4, 12, ecc=True))
    found.append(Geometry(2, 4096, 8, 5, 300, page=256))
    found.append(Geometry(3, 4096, 256, 4, 24, page=256))
    found.append(Geometry(2, 512, 8, 4, 12, settled=True))
    found.append(Geometry(4, 1024, 16, 5, 16, settled=True))
    found.append(Geometry(2, 2048, 1, 5, 16, page=256, settled=True))
    found.append(Geometry(3, 1024, 8, 5, 16, uneven=True))
    found.append(Geometry(3, 1024, 8, 5, 16, erased=0))
    found.append(Geometry(3, 1024, 8, 5, 16, erased=0, ecc=True))
    found.append(Geometry(3, 4096, 8, 4, 700, steps=30))
    return found


def updates():
    """Every update, way back and trial: (strategy, kind, size, sector, program, what, options);
    what: "" the update, "b" the way back, "t" three tries and the way back."""
    for strategy, kind in KINDS:
        for sector, program in GEOMETRIES:
            for ecc in (False, True):
                if ecc and program == 1:
                    continue
                for what in ("", "b", "t"):
                    if what and (kind == "factory" or (strategy, kind) == ("inplace", "full")):
                        continue  # nothing leads back: a full package has no reverse one
                    if what != "t" or kind != "full":
                        yield strategy, kind, "24k", sector, program, what, {"ecc": ecc}
                if not ecc:
                    yield strategy, kind, "130k", sector, program, "", {}


def update(spec):
    """The Update of one of updates() or of prove_network.specs()."""
    if spec[5] in prove_network.FAULTS:
        return prove_network.Faulty(*spec[:6], **spec[6])
    if spec[5] == "t":
        return Tries(*spec[:5], **spec[6])
    return Update(*spec[:5], spec[5] == "b", **spec[6])


def jobs(part, quick):
    """Pieces of work of a part: argument lists of work()."""
    if part == "kv":
        seeds = (7,) if quick else (7, 8, 9)
        for i in range(len(geometries())):
            for seed in seeds:
                if i % 6 == 0 if quick else seed < 9 or i % 2 == 0:
                    yield part, quick, i, seed
    elif part == "update":
        for i, spec in enumerate(updates()):
            if not quick or (i % 5 == 0 and spec[2] == "24k"):
                yield part, quick, i, 1
    elif part == "twice":
        for i in range(len(geometries())):
            if i % (12 if quick else 3) == 0:
                yield part, quick, i, 11
        for i, spec in enumerate(updates()):
            if spec[2] == "24k" and i % (29 if quick else 4) == 0:
                yield part, quick, -1 - i, 1
    elif part == "network":
        for i in range(len(list(prove_network.specs()))):
            if not quick or i % 7 == 0:
                yield part, quick, i, 1
    elif part == "bytes":
        for i, (_, kind) in enumerate(prove_network.PACKAGES):
            for first in range(0, prove_network.size(kind), 100):
                if not quick or first % 1300 == 0:
                    yield part, quick, i, first
    elif part == "resets":
        for first in range(0, 20 if quick else 1000, 10):
            yield part, quick, first, 10
    elif part == "contents":
        for first in range(0, 200 if quick else 10000, 200):
            yield part, quick, first, 50 if quick else 200
    elif part == "flips":
        for first in range(0, _FLIPS, 512):
            if not quick or first % 4096 == 0:
                yield part, quick, first, 8 if quick else 512


def work(job):
    """(part, cases, what failed) of one piece."""
    part, quick, i, n = job
    try:
        return part, _work(part, quick, i, n), ()
    except Failed as e:
        return part, 0, e.args


def _work(part, quick, i, n):
    if part == "kv":
        every = 9 if quick else 1
        return Scenario(geometries()[i], n).explore(EFFECTS, _each(every))
    if part == "update":
        spec = list(updates())[i]
        every = 60 if quick else 24 if spec[2] == "130k" else 2 if spec[5] else 1
        return update(spec).explore(EFFECTS, _each(every), n)
    if part == "twice":
        every = 151 if quick else 60
        if i >= 0:
            return Scenario(geometries()[i], n).twice(EFFECTS, _AGAIN, _each(every))
        spec = list(updates())[-1 - i]
        return update(spec).twice(EFFECTS, _AGAIN, _each(every), 2, n)
    if part == "network":
        spec = list(prove_network.specs())[i]
        return update(spec).explore(EFFECTS, _each(20 if quick else 1), n)
    if part == "bytes":
        return prove_network.resets(*prove_network.PACKAGES[i], n, 5 if quick else 100)
    if part == "resets":
        found = geometries()
        return sum(
            [resets(found[s % len(found)], s + 1, 20 if quick else 200, _WEAK)
             for s in range(i, i + n)]
        )  # fmt: skip
    if part == "contents":
        return prove_flash.contents(i, n)
    return prove_flash.flips(i, n)


def _each(every):
    # Operations and effects in turn, so that all effects come everywhere.
    return lambda n, effect: (n * 3 + EFFECTS.index(effect)) % every == 0


class Usage(Exception):
    """Arguments that mean nothing; a message for people."""


def replay(code):
    """Run one case; raises Failed if it fails still, Usage if the code is none."""
    parts = code.replace("blank-weak", "blank_weak").split("-")
    parts = [p.replace("_", "-") for p in parts]
    run = None
    try:
        run = _case(parts)
    except (IndexError, ValueError):
        pass
    if not run:
        raise Usage("no code of a case: %s; a failure prints one like %s" % (code, _LIKE))
    run()


def _case(parts):
    """What runs the case of a code; nothing runs yet. Raises IndexError or ValueError."""
    kind = parts[0]
    if kind == "kv":
        geometry = [g for g in geometries() if g.name == parts[1]][0]
        return _cut(lambda seed, *cuts: _fits(Scenario(geometry, seed), cuts[0]).replay(*cuts),
                    parts[2:])  # fmt: skip
    if kind == "resets":
        geometry = [g for g in geometries() if g.name == parts[1]][0]
        seed, cycle = [int(p) for p in parts[2:]]
        return lambda: resets(geometry, seed, cycle + 1, _WEAK)
    if kind == "bytes":
        at = int(parts[3])
        if tuple(parts[1:3]) not in prove_network.PACKAGES or at >= prove_network.size(parts[2]):
            raise ValueError
        return lambda: prove_network.resets(parts[1], parts[2], at, 1)
    if kind in ("contents", "flips"):
        number = int(parts[1])
        if kind == "flips" and number >= _FLIPS:
            raise ValueError
        return lambda: getattr(prove_flash, kind)(number, 1)
    name = "-".join(parts[:5])
    spec = [s for s in list(updates()) + list(prove_network.specs()) if name_of(*s) == name][0]
    return _cut(lambda seed, *cuts: _fits(update(spec), cuts[0]).replay(seed, *cuts), parts[5:])


def _cut(run, words):
    # Words: seed, operation, effect, and perhaps those of a second cut.
    case = [int(words[0])]
    for at in range(1, len(words), 2):
        if words[at + 1] not in EFFECTS:
            raise ValueError
        case += [int(words[at]), words[at + 1]]
    if len(case) not in (3, 5):
        raise ValueError
    return lambda: run(*case)


def _fits(found, n):
    if n >= len(found.run.log):
        raise Usage("no such case: there are %d operations" % len(found.run.log))
    return found


def options(args):
    """Dict of the arguments given, with their values. Raises Usage.

    MicroPython may have no argparse.
    """
    found = {}
    left = list(args)
    while left:
        name = left.pop(0)
        if name in ("--help", "-h", "--quick"):
            found[name] = True
        elif name not in _VALUED:
            raise Usage("unknown argument: " + name)
        elif not left or left[0].startswith("--"):
            raise Usage(name + " needs a value")
        else:
            found[name] = left.pop(0)
    if found.get("--part", PARTS[0]) not in PARTS:
        raise Usage("unknown part: %s; there are %s" % (found["--part"], ", ".join(PARTS)))
    return found


def main(args):
    """Run what the arguments ask for; returns the exit status, 2 if they mean nothing."""
    try:
        given = options(args)
    except Usage as e:
        print("prove: %s (--help tells more)" % e, file=sys.stderr)
        return 2
    if "--help" in given or "-h" in given:
        with open(__file__) as f:  # MicroPython keeps no docstrings
            print(f.read().split('"""')[1], end="")
        return 0
    if "--replay" in given:
        try:
            replay(given["--replay"])
        except Usage as e:
            print("prove: %s (--help tells more)" % e, file=sys.stderr)
            return 2
        print("ok")
        return 0
    if "--driver" in given:
        return prove_driver.main(given["--driver"])
    quick = "--quick" in given
    parts = [given["--part"]] if "--part" in given else PARTS
    todo = [job for part in parts for job in jobs(part, quick)]
    total = dict.fromkeys(parts, 0)
    bad = 0
    for part, count, failed in _results(todo):
        total[part] += count
        if failed:
            bad += 1
            print("FAILED", *failed)
    print("geometries of the KV: %d" % len(geometries()))
    for part in parts:
        print("%-9s %7d cases" % (part, total[part]))
    cases = sum(total.values())
    print("%d passed, %d failed" % (cases, bad))
    return 1 if bad or not all(total.values()) else 0


def _results(todo):
    try:
        from multiprocessing import Pool
    except ImportError:
        Pool = None
    if Pool is None:
        yield from map(work, todo)
        return
    with Pool() as pool:
        yield from pool.imap_unordered(work, todo)
