"""Broken patches and packages: hypothesis over the grammar of tests/fuzz, and whether the
grammar and its judge are any good. docs/fuzzing.md.

OTA_FUZZ_EXAMPLES: how many examples of each, more than the few of every run; they are then
others each time, and OTA_FUZZ_SEED has them drawn from that seed.
"""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

_TESTS = Path(__file__).parents[1]

import choices  # noqa: E402
import fuzz_run  # noqa: E402
import oracle  # noqa: E402
import packages  # noqa: E402
import plant  # noqa: E402
import reach  # noqa: E402
import streams  # noqa: E402

_EXAMPLES = int(os.environ.get("OTA_FUZZ_EXAMPLES", "0"))
_SEED = os.environ.get("OTA_FUZZ_SEED")
_FILES = ("streams.bin", "small.bin", "vectors.bin", "findings.bin")
# KB of heap in which MicroPython plays the corpus, flash and sources of the tests included.
_HEAPS = {"streams.bin": 320, "small.bin": 640}

_INSTALL = (
    "header", "format", "size", "field", "critical", "key", "signature", "product", "target",
    "base", "fit", "geometry", "strategy", "chunk", "chain", "inflate", "patch",
    "short",
)  # fmt: skip
_BOOT = ("patch", "inflate", "chunk")

# Refusals that no stream and no package brings about, and why.
_FLASH = "flash that changed since it was looked at: tests/prove"
_OUT_OF_REACH = {
    ("package/__init__.py", 'ManifestError("size", len(head))'): "who calls has read just that",
    ("package/inflate.py", 'VerifyError("inflate")'): "of MicroPython's inflater",
    ("delta/full.py", 'VerifyError("patch", index)'): "the chunk's numbers were looked at before",
    ("delta/patch.py", 'VerifyError("patch", meta_max)'): "the header was looked at",
    ("delta/patch.py", 'ValueError("done is shorter than the image")'): "a mistake of the caller",
    ("delta/pointers/__init__.py", 'VerifyError("patch", len(head))'): "the buffer has nine bytes",
    (
        "delta/pointers/__init__.py",
        'VerifyError("patch", kind)',
    ): "the header was looked at",
    ("delta/stash.py", 'VerifyError("patch", len(head))'): "the buffer has nine bytes",
    ("strategy/__init__.py", 'VerifyError("digest", image.size)'): _FLASH,
    ("strategy/__init__.py", 'PolicyError("hardware", header.pointers[0])'): (
        "all filters are installed here"
    ),
    ("strategy/__init__.py", 'PolicyError("geometry", block_size, region.program_size)'): (
        "the boards here have small program units"
    ),
    ("strategy/rewrite.py", 'VerifyError("patch", index)'): _FLASH,
    ("strategy/__init__.py", 'FlashError("bounds", image.size, region.size)'): (
        "every package was looked at before"
    ),
    ("strategy/staging.py", 'ManifestError("header", offset)'): "a partition is longer than that",
    ("delta/stash.py", 'VerifyError("patch", place)'): _FLASH,
    ("strategy/ab.py", 'PolicyError("fit", header.image_size, slot.size)'): "slots are equal here",
    ("strategy/inplace.py", 'StateError("none")'): "rollback() asks before",
    ("strategy/pingpong.py", 'VerifyError("digest", record.image.size)'): _FLASH,
    ("strategy/receive.py", 'VerifyError("truncated")'): _FLASH,
    ("strategy/receive.py", 'PolicyError("geometry", self._sector)'): "sectors are small here",
    ("strategy/receive.py", ""): "passes on what others raise",
    ("strategy/rewrite.py", 'VerifyError("digest", old.size)'): _FLASH,
    ("strategy/rewrite.py", 'FlashError("journal", at)'): _FLASH,
    ("strategy/staging.py", 'ManifestError("size", length, signatures)'): (
        "the partition is longer than any head"
    ),
    ("strategy/staging.py", 'VerifyError("chain", offset)'): _FLASH,
    ("strategy/staging.py", 'VerifyError("truncated")'): _FLASH,
    ("strategy/staging.py", 'PolicyError("fit", header.size, region.size)'): (
        "a plan has looked whether there is room"
    ),
    ("strategy/staging.py", 'PolicyError("fit", stash, region.size)'): (
        "the reverse packages here have no stash"
    ),
}


def _settings(few):
    return settings(
        max_examples=_EXAMPLES or few,
        derandomize=not _EXAMPLES,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )


def _seeded(test):
    return seed(int(_SEED))(test) if _SEED else test


def _drawn(make, few):
    @_seeded
    @_settings(few)
    @given(st.data())
    def test(data):
        oracle.judge(make(choices.Drawn(data.draw, st.integers)))

    return test


test_streams = _drawn(streams.make, 100)
test_packages = _drawn(packages.make, 40)
test_more_streams = pytest.mark.long(_drawn(streams.make, 400))
test_more_packages = pytest.mark.long(_drawn(packages.make, 160))


def test_choices_are_the_case():
    # What a fuzzer keeps is the choices: they must lead to the same case again, from any source.
    for make in (streams.make, packages.make):
        assert make(choices.Seeded(7)) == make(choices.Seeded(7))
        assert make(choices.Bytes(b"\1\2\3" * 200)) == make(choices.Bytes(b"\1\2\3" * 200))
        # The plainest choices of all make something good.
        assert oracle.judge(make(choices.Bytes(b""))).split()[0] in ("ok", "trial")


@pytest.mark.long
def test_every_outcome_of_a_stream_occurs():
    """The grammar is not stuck at the first check: each word, and success of each kind."""
    wanted = {(word, ordered) for word in oracle.WORDS for ordered in (False, True)}
    wanted.remove(("order", False))  # of blocks in turn none is overwritten
    wanted |= {("ok", kind, stash) for kind in (None, *streams.KINDS) for stash in (False, True)}
    number = 0
    while wanted:
        case = streams.make(choices.Seeded(number))
        word = oracle.judge(case).split()[0]
        wanted.discard((word, case["ordered"]))
        if word == "ok":
            wanted.discard(("ok", case["pointers"] and case["pointers"][0], bool(case["stash"])))
        number += 1
        assert number < 6000, wanted


@pytest.mark.long
def test_every_outcome_of_a_package_occurs():
    """As above; the rarest words are left to the corpus, which has them all."""
    wanted = {f"install {word}" for word in _INSTALL} | {f"boot {word}" for word in _BOOT}
    wanted |= {"trial confirmed", "trial back", "trial stays none"}
    wanted |= {(said, form) for said in ("install", "trial") for form in packages.STRATEGIES}
    seen = Counter()
    number = 0
    while not wanted <= set(seen) or number < 100:
        case = packages.make(choices.Seeded(number))
        said = oracle.judge(case).split()
        seen[" ".join(w for w in said if len(w) != 16)] += 1
        seen[said[0], case["strategy"]] += 1
        number += 1
        assert number < 1500, wanted - set(seen)
    most = max(seen["install " + word] for word in _INSTALL)
    assert most * 4 < number, "most packages end in one way"


def test_the_corpus_reaches_every_refusal():
    """Each statement that refuses is reached by a case of the corpus; its judge agrees."""
    with reach.Reached() as reached:
        for name in _FILES:
            for case, want in fuzz_run.load(name):
                assert oracle.judge(case) == want.split(" | ")[0]
    refusals = {
        where: (where[0], text.removeprefix("raise").strip())
        for where, text in reach.refusals().items()
    }
    assert set(_OUT_OF_REACH) <= set(refusals.values())
    never = {what for where, what in refusals.items() if where not in reached.lines}
    assert never <= set(_OUT_OF_REACH)


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", _FILES)
def test_steps_and_memory_are_bounded(name, every):
    for number, (case, _) in enumerate(fuzz_run.load(name)):
        # A package takes four times as long as a stream.
        if number % (every if case["kind"] == "stream" else 4 * every) == 0:
            oracle.judge(case, closely=True)


def test_planted_faults_are_noticed():
    corpus = [one for name in _FILES for one in fuzz_run.load(name)]
    missed = []
    for fault in plant.faults():
        # Counting steps is slow, and what it finds here comes where a reader ends.
        word = "short" if "closely" in fault.tests else ""
        cases = [c for c, want in corpus if c["kind"] + "s" == fault.tests[0] and word in want]
        if plant.noticed(fault, cases)[1] is None:
            missed.append(fault.name)
    assert not missed
    for case, want in corpus[:20]:  # and the faults are gone
        assert oracle.judge(case) == want


@pytest.mark.parametrize("name", _HEAPS)
def test_corpus_in_a_small_heap(name):
    code = (
        "import sys; sys.path.insert(0, 'tests'); import folders; folders.add()\n"
        "import fuzz_run\n"
        f"print(fuzz_run.replay({name!r}, 3))"
    )
    command = [Path(sys.executable).parent / "micropython", "-X", f"heapsize={_HEAPS[name]}K"]
    done = subprocess.run(
        [*command, "-c", code], cwd=_TESTS.parent, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout) >= 10
