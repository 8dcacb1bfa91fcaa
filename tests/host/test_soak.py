"""tests/tools/soak.py: a very short night, and that its checks see what is wrong."""

import pytest
import soak
from otatool.product import provision

SEED = 3


def test_a_few_updates_with_power_cuts_of_every_strategy(tmp_path, capsys):
    results = soak.run(list(provision.STRATEGIES), 3, SEED, tmp_path)
    assert [r.failure for r in results] == ["", "", ""]
    for r in results:
        assert r.updates == 3 and sum(r.cuts.values()) >= 2
        # Each update takes two boots; so does the one before, and the first start one.
        assert r.boots >= 2 * 4 + 1
        assert max(r.wear["active"]) >= 2 and r.erases > 0
    cuts = sum((r.cuts for r in results), start=soak.Counter())
    assert cuts["kill"] and sum(cuts[effect] for effect in soak.EFFECTS)
    assert not any(tmp_path.iterdir())
    assert soak.report(results) == 0
    assert "inplace: 3 updates" in capsys.readouterr().out


@pytest.mark.parametrize("strategy", [pytest.param("ab", marks=pytest.mark.long), "inplace"])
def test_a_slot_that_was_tampered_with_is_reported(tmp_path, capsys, strategy):
    def tamper(board):
        """One bit of the running image, in its data."""
        slot, _ = board.watch.settled
        at = board.spans[("active", "backup")[slot]][0] + 20_000
        flash = bytearray(board.flash.read_bytes())
        flash[at] ^= 1
        board.flash.write_bytes(flash)

    result = soak.play(strategy, 2, SEED, tmp_path, tamper)
    assert "1 bytes differ, from 20000 to 20000" in result.failure
    assert result.updates == 0
    assert soak.report([result]) == 1
    assert str(result.kept) in capsys.readouterr().out
    kept = {path.name for path in result.kept.iterdir()}
    assert {"before.flash", "after.flash", "after.flash.board", "console.txt"} <= kept
    assert f"seed {SEED}, strategy {strategy}, update 1" in (
        result.kept / "choices.txt"
    ).read_text(encoding="utf-8")
    assert b"SETTLED" in (result.kept / "console.txt").read_bytes()


def test_a_board_that_does_not_reach_its_application_is_reported(tmp_path):
    with soak.Soak("pingpong", SEED, tmp_path) as board:
        board.rehearse()
        flash = bytearray(board.flash.read_bytes())
        at, size = board.spans["active"]
        flash[at : at + size] = bytes(size)
        board.flash.write_bytes(flash)
        with pytest.raises(soak.Failed, match="trouble on the console"):
            board.update()


def test_choices_follow_from_the_seed():
    first = [soak.choices(1, "ab", n) for n in range(1, 400)]
    assert first == [soak.choices(1, "ab", n) for n in range(1, 400)]
    assert first != [soak.choices(2, "ab", n) for n in range(1, 400)]
    cuts = [cut for _, cuts in first for cut in cuts]
    assert 2 <= len(cuts) / len(first) <= 2.4
    assert {cut.effect for cut in cuts} == {"", *soak.EFFECTS}


class Console:
    """What an application prints, and what Watch says of it."""

    def __init__(self):
        self.watch = soak.Watch()
        self.watch.expect(("A", "0.1"), ("B", "0.2"))
        self.read("APP A 0.1 IDLE 0", "KEPT 0 none none", "STORED 1")

    def read(self, *lines, cut=""):
        return self.watch.read(("\n".join(lines) + "\n" + cut).encode())

    def fails(self, word, *lines):
        with pytest.raises(soak.Failed, match=word):
            self.read(*lines)


KEPT = f"KEPT 1 {soak.FIXED} 0."


def test_watch_takes_what_power_cuts_may_do():
    console = Console()
    assert console.read("APP A 0.1 FETCH 0", KEPT) == 1
    assert console.watch.settled is None
    # The counter's write was cut and did not last; then it did, and nobody saw it.
    assert console.read("APP B 0.2 TRIAL 0", KEPT, cut="APP B 0.2 TRI") == 1
    console.read("APP B 0.2 TRIAL 0", f"KEPT 2 {soak.FIXED} 0.", "STORED 3")
    console.read("SETTLED B 0.2 IDLE 0 0.1")
    assert console.watch.settled == (0, "0.1")
    # At the third the pair is written before the counter.
    console.read("APP B 0.2 IDLE 0", f"KEPT 3 {soak.FIXED} 0.")
    console.read("APP B 0.2 IDLE 0", f"KEPT 3 {soak.FIXED} 3.3.3.3.", "STORED 4")


@pytest.mark.parametrize(
    "word, lines",
    [
        ("counter is 0", ["KEPT 0 none none"]),
        ("counter is 2", [f"KEPT 2 {soak.FIXED} 0."]),
        ("fixed value", ["KEPT 1 none 0."]),
        ("pair is 'torn'", [f"KEPT 1 {soak.FIXED} torn"]),
        ("pair is '3.", [f"KEPT 1 {soak.FIXED} 3.3.3.3."]),
        ("stored 3", [KEPT, "STORED 3"]),
        ("A 0.3 runs", ["APP A 0.3 IDLE 0"]),
        ("B 0.1 runs", ["APP B 0.1 IDLE 0"]),
        ("A 0.1 runs, not B 0.2", ["APP B 0.2 TRIAL 0", "APP A 0.1 IDLE 0"]),
        ("in state BACK", ["APP B 0.2 BACK 0"]),
        ("in state TRIAL", ["APP A 0.1 TRIAL 0"]),
        ("reason 75", ["APP A 0.1 IDLE 75"]),
        ("in state TRIAL after", ["SETTLED B 0.2 TRIAL 0 0.1"]),
        ("trouble", ["Traceback (most recent call last):"]),
        ("trouble", ["REFUSED digest 75"]),
    ],
)
def test_watch_reports_what_they_do_not_explain(word, lines):
    Console().fails(word, *lines)
