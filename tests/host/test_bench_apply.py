"""bench/apply.py on a small pair: the shape of its tables, never its times."""

import random
import sys
from pathlib import Path

import code_images
import numpy as np
import pytest
from otatool.patch.pointers import Table, thumb
from otatool.release import keys

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

import apply  # noqa: E402
import apply_peer  # noqa: E402
import apply_run  # noqa: E402
import apply_update  # noqa: E402
from delta_pairs import Pair  # noqa: E402

_AT, _GROWN = 3000, 52


def pair():
    """Code that something was put into; its pointers follow, so that a filter pays."""
    old = code_images.thumb(3, 12000, 0)
    f = thumb.Thumb(0, len(old))
    f.table = Table(np.array([_AT]), np.array([_GROWN]))
    new = f.predict(old[:_AT], 0, 0) + random.Random(1).randbytes(_GROWN)
    return Pair("own", "small", old, new + f.predict(old[_AT:], _AT, _AT + _GROWN))


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """The bench and the packages of the pair."""
    made = apply.Bench(tmp_path_factory.mktemp("bench"))
    return made, made.jobs(pair())


@pytest.mark.long
def test_one_run_prints_all_tables(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(apply_peer, "detools", None)
    monkeypatch.setattr(apply_run, "_STEP", 4096)
    small = pair()
    (tmp_path / "small.old").write_bytes(small.old)
    (tmp_path / "small.new").write_bytes(small.new)
    apply.main(["--own", str(tmp_path), "--repeats", "1"])
    times, memory, bars, peers, updates = [
        part.splitlines() for part in capsys.readouterr().out.strip().split("\n\n")
    ]
    for table in (times, memory):
        assert [line.split()[:3] for line in table[1:]] == [
            ["own", "small", kind] for kind in ("patch", "filter", "full")
        ]
    for line in times[1:]:
        assert all(float(n) > 0 for n in line.replace("|", " ").split()[3:])
    assert all(line.endswith((" met", " missed")) for line in bars)
    assert len(bars) == len(apply.WAYS) * (len(apply.MEDIANS) + len(apply.MEMORY) + 1)
    assert peers == ["detools is not installed: nothing beside ours"]
    assert len(updates) == 1 + len(apply_update.STRATEGIES) * len(apply_update.RATES)
    assert all(0 < float(line.split()[-1]) < 1 for line in updates[1:])


@pytest.mark.long
def test_memory_holds_the_block_the_chunk_and_the_metadata(bench):
    made, jobs = bench
    for job in jobs:
        found = made.memory(job)
        for code in apply.CODE:
            least = apply.BLOCK + (1 << apply.WBITS) + job.header.meta_max
            assert found[code, "decode"] > least
            assert found[code, "whole"] > least + job.header.chunk_max


def test_an_image_that_comes_out_wrong_is_no_result(bench):
    made, jobs = bench
    old = made.folder(jobs[0].pair) / "old"
    good = old.read_bytes()
    old.write_bytes(bytes(len(good)))
    with pytest.raises(SystemExit, match="own small does not apply"):
        made.times(jobs[0], 1)
    old.write_bytes(good)
    assert made.times(jobs[0], 2).keys() == set(apply.CODE)


def test_bars_are_held_against_medians_and_the_worst(bench):
    _, (patch, filtered, full) = bench
    few = apply.Job(patch.pair, "patch", 1, patch.header, True)

    def times(plain, viper):
        return {"plain": [apply.Times(1, plain, plain)], "viper": [apply.Times(1, viper, viper)]}

    rows = [
        (patch, times(44, 20)), (patch, times(46, 40)), (few, times(99, 9)),
        (filtered, times(141, 76)), (full, times(900, 900)),
    ]  # fmt: skip
    memory = [(patch, dict.fromkeys([(c, w) for c in apply.CODE for w in apply.WAYS], 12289))]
    found = {what: (value, most) for what, way, value, most in apply.checks(rows, memory)}
    assert found == {
        "patch, plain, median": (46, 45),
        "patch, viper, median": (20, 30),
        "filter, plain, median": (141, 140),
        "filter, viper, median": (76, 36),
        "worst, viper": (76, 75),
        "few changes, worst, viper": (9, 10),
        "memory, patch, worst": (12289, 12288),
    }


def test_flash_counts_sectors_and_the_pages_that_a_program_touches():
    chip = apply_update.Chip(1 << 16)
    chip.program(255, b"ab")
    chip.program(0x1000, bytes(512))
    chip.erase(0, 0x2000)
    assert (chip.pages, chip.erases) == (4, 2)
    assert chip.seconds == pytest.approx(4 * 0.0007 + 2 * 0.045)
    side = apply_update.Side(20_000, 2, chip.seconds, 0.5)
    assert side.link(20_000) == pytest.approx(1.1)
    assert side.all(20_000) == pytest.approx(1.6 + chip.seconds)


@pytest.mark.parametrize("strategy", apply_update.STRATEGIES)
def test_update_writes_at_least_the_image(strategy):
    small = pair()
    patch, full = apply_update.sides(small, strategy, 0.001, 0.002)
    sectors = -(-len(small.new) // 4096)
    times = 2 if strategy == "inplace" else 1  # scratch, too
    assert full.erases >= sectors * times and patch.erases >= sectors
    assert patch.size < full.size
    assert patch.decode == pytest.approx(0.001 * apply_update.SLOWER * times)


def test_an_update_that_did_not_come_about_is_no_result():
    small = pair()
    key = keys.generate("hmac")
    meta = apply_update.build.Meta("bench", "2")
    other = apply_update.build.full(small.new[:-1] + b"\0", meta, [key])
    with pytest.raises(SystemExit, match="small was not updated"):
        apply_update.written("ab", small, other.data, key)
