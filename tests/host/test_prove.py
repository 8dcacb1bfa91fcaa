"""The commands of docs/reliability.md: a sample of the whole proof on both interpreters."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PROVE = TESTS / "prove" / "__main__.py"
MICROPYTHON = Path(sys.executable).parent / "micropython"
PARTS = ("kv", "update", "twice", "network", "bytes", "resets", "contents", "flips")

sys.path.insert(0, str(TESTS / "shared"))

import prove  # noqa: E402
from explore import Failed  # noqa: E402


def run(*command, **options):
    return subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=300, **options
    )


# What "update" is a sample of, test_update_cut.py cuts on MicroPython every time.
@pytest.mark.parametrize("part", ["kv", pytest.param("update", marks=pytest.mark.long)])
def test_a_sample_of_two_parts_on_micropython(part, board_files):
    command = (MICROPYTHON, "-X", "heapsize=64M", board_files / "tests" / "prove" / "__main__.py")
    done = run(*command, "--quick", "--part", part)
    assert done.returncode == 0, done.stdout + done.stderr
    said = re.fullmatch(r"(\d+) passed, (\d+) failed", done.stdout.splitlines()[-1])
    assert said and int(said[1]) >= 50 and said[2] == "0"


@pytest.mark.parametrize(
    "interpreter",
    [
        (sys.executable,),
        pytest.param((MICROPYTHON, "-X", "heapsize=64M"), marks=pytest.mark.long),
    ],
)
def test_a_sample_of_everything(interpreter, board_files):
    tests = TESTS if interpreter[0] == sys.executable else board_files / "tests"
    done = run(*interpreter, tests / "prove" / "__main__.py", "--quick")
    assert done.returncode == 0, done.stdout + done.stderr
    counts = {
        words[0]: int(words[1])
        for words in (line.split() for line in done.stdout.splitlines())
        if words[0] in PARTS
    }
    assert set(counts) == set(PARTS)
    assert min(counts.values()) >= 50
    total = sum(counts.values())
    assert done.stdout.splitlines()[-1] == f"{total} passed, 0 failed"
    assert total >= 1500


_INTERPRETERS = [(sys.executable,), (MICROPYTHON,)]


@pytest.mark.parametrize("interpreter", _INTERPRETERS)
@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--quick", "--part", "kv", "--help"]])
def test_help_is_the_text_at_the_head(interpreter, arguments):
    done = run(*interpreter, PROVE, *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (0, prove.__doc__, "")


@pytest.mark.parametrize("interpreter", _INTERPRETERS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fast"], "unknown argument: --fast"),
        (["kv"], "unknown argument: kv"),
        (["--part=kv"], "unknown argument: --part=kv"),
        (["--quick", "--part", "kv", "more"], "unknown argument: more"),
        (["--part", "kw"], f"unknown part: kw; there are {', '.join(PARTS)}"),
        (["--part"], "--part needs a value"),
        (["--part", "--quick"], "--part needs a value"),
        (["--replay"], "--replay needs a value"),
        (["--driver"], "--driver needs a value"),
        (["--fast", "--help"], "unknown argument: --fast"),
    ],
)
def test_arguments_that_mean_nothing(interpreter, arguments, message):
    done = run(*interpreter, PROVE, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"prove: {message} (--help tells more)\n"


def test_codes_of_no_case_are_told(capsys):
    codes = (
        "", "kv", "kv-x", "kv-2x512u8-7", "kv-2x512u8-7-10", "kv-2x512u8-7-10-gone",
        "kv-2x512u8-7-10-weak-0", "kv-2x512u8-x-10-weak", "kv-2x512u8-7-99999-weak", "resets",
        "resets-2x512u1-1", "resets-2x512u1-1-5-x", "bytes-pingpong-full",
        "bytes-pingpong-none-5", "bytes-pingpong-full-99999999", "contents", "contents-x",
        "flips-16384", "flips-x", "ab-full-24k-4096-8", "ab-full-24k-4096-8-1-99999-prefix",
        "ac-full-24k-4096-8-1-3-prefix", "ab-full-24k-4096-8-x-3-prefix",
    )  # fmt: skip
    for code in codes:
        assert prove.main(["--replay", code]) == 2, code
        said = capsys.readouterr()
        assert said.out == "", code
        assert said.err.startswith("prove: no ") and said.err.count("\n") == 1, code
    for command in (sys.executable,), (MICROPYTHON, "-X", "heapsize=64M"):
        done = run(*command, PROVE, "--replay", codes[-1])
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == said.err


def test_the_whole_proof_is_as_large_as_promised():
    names = {g.name for g in prove.geometries()}
    assert len(names) == len(prove.geometries()) >= 40
    assert sum(n for _, _, _, n in prove.jobs("resets", False)) == 1000
    assert sum(n for _, _, _, n in prove.jobs("contents", False)) == 10000
    assert sum(n for _, _, _, n in prove.jobs("flips", False)) == 16384


def test_a_failure_prints_a_code_that_replays(monkeypatch):
    # Without settling, a boot believes what the next one may not see any more.
    from ota.kv import recover as kvmount

    monkeypatch.setattr(kvmount, "_settle", lambda ring, found: None)
    scenario = prove.Scenario(prove.Geometry(2, 512, 8, 4, 12), 7)
    with pytest.raises(Failed) as caught:
        scenario.explore(prove.EFFECTS)
    code = caught.value.args[0]
    assert code.startswith("kv-2x512u8-7-")
    with pytest.raises(Failed) as again:
        prove.replay(code)
    assert again.value.args == caught.value.args
    monkeypatch.undo()
    prove.replay(code)


@pytest.mark.parametrize(
    "code",
    [
        "kv-2x512u8-7-10-blank-weak-0-weak",
        "ab-full-24k-4096-8-1-3-prefix",
        "inplace-place-24k-4096-256eb-1-38-weak-2-blank-weak",
        # Each of these failed once.
        "pingpong-delta-24k-2048-8-1-2-weak",
        "pingpong-full-24k-4096-8b-1-18-weak-0-blank-weak",
        "kv-3x4096u256p-11-38-weak-2-prefix",
        "kv-3x4096u256p-11-38-weak-3-prefix",
        "resets-2x2048u1-804-25",
        "resets-3x1024u8e-648-74",
        "kv-3x512u2-7-33-weak",
        "resets-2x512u1-1-5",
        "contents-3",
        "flips-100",
        "ab-full-24k-4096-8ef9-1-10-prefix",
        "inplace-place-24k-2048-256ef32-1-9-weak",
        "bytes-pingpong-full-3000",
    ],
)
def test_codes_of_every_kind_replay(code, capsys):
    assert prove.main(["--replay", code]) == 0
    assert capsys.readouterr().out == "ok\n"


def test_own_driver(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from ota.flash.ram import RamFlash\n\n\ndef make():\n    return RamFlash(8192, 1024, 8)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = run(sys.executable, PROVE, "--driver", "mine:make", env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    passed, _, failed = done.stdout.split()[0], "", done.stdout.split()[2]
    assert int(passed) >= 90 and failed == "0"


def test_a_driver_that_loses_what_it_took_is_found(tmp_path):
    (tmp_path / "mine.py").write_text(
        """
from ota.flash.ram import RamFlash


class Lazy(RamFlash):
    def erase(self, offset, length):
        if offset:
            RamFlash.erase(self, offset, length)


def make():
    return Lazy(8192, 1024, 8)
"""
    )
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = run(sys.executable, PROVE, "--driver", "mine:make", env=env)
    assert done.returncode == 1
