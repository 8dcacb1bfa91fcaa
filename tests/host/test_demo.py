"""The demo is a test of the main job: each of its steps is checked where it happens."""

import io

import pytest
from otatool import demo
from otatool.demo import application
from otatool.demo.stage import Stage
from otatool.errors import ToolError
from rich.console import Console


@pytest.fixture(scope="module")
def images():
    return application.images()


@pytest.mark.parametrize(
    "strategy",
    ["inplace", *(pytest.param(s, marks=pytest.mark.long) for s in ("ab", "pingpong"))],
)
def test_the_story(strategy, images, tmp_path):
    text = io.StringIO()
    stage = Stage(Console(file=text, width=200))
    result = demo.play(strategy, images, tmp_path, stage)
    assert result.strategy == strategy
    assert result.image == len(images["0.2"])
    assert result.downloaded < result.package < result.image
    assert result.erases > 20
    assert result.programs > result.erases
    assert 0 < result.peak_heap < 192 * 1024
    assert result.seconds > 0
    # What the board itself said, in its order.
    said = iter(text.getvalue().splitlines())
    for line in (
        "app 0.1: serving",
        "app 0.1: there is an update, ",
        "app 0.1: installing it: 100 %",
        "app 0.1: 0.2 is ready, restarting",
        "app 0.2: confirmed",
        "✔ power is gone",
        "✔ and gone once more",
        "app 0.2: confirmed",
        "app 0.2: 0.3 is ready, restarting",
        "ImportError: no module named 'telemetry'",
        "app 0.2: no update: seen",
    ):
        assert any(line in one for one in said), f"{line!r} is missing, or not in its place"


def test_images_are_reproducible_and_large_enough(images):
    assert application.images() == images
    assert all(len(image) > 60000 for image in images.values())
    assert images["0.2"] != images["0.3"]


def test_another_wheel_is_refused(tmp_path):
    (tmp_path / "microdot-2.6.0-py3-none-any.whl").write_bytes(b"PK")
    with pytest.raises(ToolError, match="not microdot 2.6.0 as published"):
        application.wheel("2.6.0", tmp_path, print)


def test_no_network(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(ToolError, match="could not be downloaded from PyPI.*needs a network once"):
        application.wheel("2.6.0", tmp_path, lambda text: None)
    assert list(tmp_path.iterdir()) == []


def test_a_step_that_does_not_happen_fails(images, tmp_path, monkeypatch):
    # An image that never confirms itself: the trial goes on, and the demo must not say "fine".
    monkeypatch.setattr("otatool.demo.story._PATIENCE_S", 3)
    silent = {**images, "0.2": images["0.1"].replace(b"confirmed", b"postponed")}
    with pytest.raises(ToolError, match="app 0.2: confirmed"):
        demo.play("ab", silent, tmp_path, Stage(Console(file=io.StringIO()), quiet=True))
