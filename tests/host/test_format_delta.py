"""The worked example of docs/format-delta.md."""

import re
from pathlib import Path

import pytest
from delta_stream import Base, Plain
from ota.delta.patch import Patch
from otatool.patch import payload, stream
from otatool.patch.covers import Segment

PAGE = (Path(__file__).parents[2] / "docs" / "format-delta.md").read_text()
SIZE = 16
SEGMENTS = (
    [Segment(0, 11, 0), Segment(11, 2, None), Segment(13, 3, 11)],
    [Segment(16, 16, 14)],
    [Segment(32, 2, 30), Segment(34, 4, 0), Segment(38, 2, None)],
)


def fence(name):
    """The text of the page's code block of that name."""
    return re.search(rf"^```{name}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[1]


def example(name):
    """The bytes at the start of each line of a hex block, per output block."""
    blocks = fence("hex " + name).split("\n\n")
    # At least three blanks stand between the bytes and what they mean.
    return [bytes.fromhex("".join(re.split(r" {3,}", line)[0] for line in b.splitlines()))
            for b in blocks]  # fmt: skip


OLD = fence("text old").strip().encode()
NEW = fence("text new").strip().encode()


@pytest.mark.parametrize("name, order", (("not ordered", (0, 1, 2)), ("ordered", (2, 1, 0))))
def test_example(name, order):
    ordered = name == "ordered"
    plans = [stream.BlockPlan(i, i * SIZE, min(SIZE, 40 - i * SIZE), SEGMENTS[i]) for i in order]
    writer = payload.PatchWriter(plans, OLD, NEW, SIZE, ordered)
    assert [writer.block(i) for i in range(3)] == example(name)
    flash = bytearray(OLD + bytes(16))
    image = flash if ordered else bytearray(48)
    done = bytearray(1) if ordered else None
    decoder = Patch(Base(flash), len(OLD), len(NEW), SIZE, writer.meta_max, ordered, done)
    decoder.restart(0)
    inflater = Plain(b"".join(example(name)))
    out = bytearray(SIZE)
    for i in order:
        index, length = decoder.block(inflater, memoryview(out))
        assert index == i
        image[i * SIZE : i * SIZE + length] = out[:length]
    assert inflater.empty
    assert image[:40] == NEW
