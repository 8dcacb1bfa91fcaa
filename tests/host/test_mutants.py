"""Mutants of changed functions: which are made, of what, and which tests they must fail."""

import subprocess

import mutants
import mutate
import pytest

SOURCE = """import os


def f(a, b):
    if a < b and os:
        g("ä"); h(b)
    while True:
        raise ValueError(
            a)

    def inner(c):
        return 1 if c else 2


class C:
    def m(self):
        self.n()
"""


def test_every_kind_of_edit():
    found = mutants.mutants("x.py", SOURCE)
    assert [(m.line, m.function, m.what) for m in found] == [
        (5, "f", "not a < b and os"),
        (5, "f", "a < b with <="),
        (6, "f", 'without g("ä")'),
        (6, "f", "without h(b)"),
        (8, "f", "without raise ValueError( a)"),
        (12, "inner", "not c"),
        (17, "m", "without self.n()"),
    ]
    edits = [set(m.source.splitlines()) - set(SOURCE.splitlines()) for m in found]
    assert edits == [
        {"    if (not (a < b and os)):"},
        {"    if (a <= b) and os:"},
        {"        pass; h(b)"},
        {'        g("ä"); pass'},
        {"        pass"},
        {"        return 1 if (not (c)) else 2"},
        {"        pass"},
    ]
    for mutant in found:
        compile(mutant.source, mutant.path, "exec")


def test_only_functions_that_were_touched():
    assert [m.line for m in mutants.mutants("x.py", SOURCE, {17})] == [17]
    assert [m.line for m in mutants.mutants("x.py", SOURCE, {11})] == [5, 5, 6, 6, 8, 12]
    assert mutants.mutants("x.py", SOURCE, {1}) == []


def test_what_git_says_was_touched(tmp_path):
    def git(*words):
        names = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", *names, *words], cwd=tmp_path, check=True, capture_output=True)

    folder = tmp_path / "lib" / "ota" / "boot"
    folder.mkdir(parents=True)
    (folder / "x.py").write_text(SOURCE)
    (folder / "gone.py").write_text("a = 1\n")
    git("init")
    git("add", "-A")
    git("commit", "-m", "first")
    (folder / "gone.py").unlink()
    (folder / "x.py").write_text(SOURCE.replace("self.n()", "self.o()").replace("import os\n", ""))
    (tmp_path / "other.py").write_text("a = 1\n")
    git("add", "-A")
    assert mutants.changed(tmp_path, "HEAD") == {"boot/x.py": {0, 16}}
    with pytest.raises(ValueError, match="nowhere"):
        mutants.changed(tmp_path, "nowhere")


def test_the_tests_of_a_subject():
    tests = mutate._ROOT / "tests"
    found = mutants.subjects(tests, "boot/trial.py", mutate.steps())
    assert {"test_trial", "test_start"} <= set(found)
    assert "test_kv" not in found
    assert "test_image" in mutants.subjects(tests, "image.py", ())
    everything = mutants.subjects(tests, "no/such.py", ())
    assert everything == sorted(path.stem for path in (tests / "shared").glob("test_*.py"))


def test_mutants_are_run_and_survivors_told(capsys):
    # A subject of few tests: a survivor runs them all.
    source = (mutate._ROOT / "lib/ota/source/schedule.py").read_text()
    found = [m for m in mutants.mutants("source/schedule.py", source) if m.what == "not failures"]
    assert len(found) == 1
    same = mutants.Mutant("source/schedule.py", 1, "f", "nothing", source)
    assert mutate.check_mutants([*found, same]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("killed   source/schedule.py:")
    assert said[1] == "SURVIVES source/schedule.py:1 f: nothing"
    assert said[2].startswith("2 mutants, 1 killed, 1 not, ")


@pytest.mark.parametrize("arguments", [["--frob"], ["kv"], ["--only"], ["--list", "--only", "x"]])
def test_arguments_that_mean_nothing_run_nothing(arguments, capsys, monkeypatch):
    monkeypatch.setattr(mutate, "check", None)
    with pytest.raises(SystemExit) as e:
        mutate.main(arguments)
    assert e.value.code == 2
    assert "usage: mutate.py" in capsys.readouterr().err


def test_help_runs_nothing(capsys, monkeypatch):
    monkeypatch.setattr(mutate, "check", None)
    with pytest.raises(SystemExit) as e:
        mutate.main(["--help"])
    assert e.value.code == 0
    assert "--changed REVISION" in capsys.readouterr().out


def test_a_file_that_is_none(capsys):
    assert mutate.main(["--file", "boot/nothing.py"]) == 2
    assert "no such file: lib/ota/boot/nothing.py" in capsys.readouterr().err
