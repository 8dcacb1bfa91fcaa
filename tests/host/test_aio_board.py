"""ota.aio on real MicroPython, over HTTP: no step does more in flash than erase one sector."""

import re
import sys
from pathlib import Path

import pytest
from otatool import sim
from otatool.image import build as image
from otatool.product import provision
from otatool.release import keys, publish, serve

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

import memory  # noqa: E402
import steps  # noqa: E402


@pytest.mark.parametrize(
    "strategy",
    ["inplace", *(pytest.param(s, marks=pytest.mark.long) for s in ("ab", "pingpong"))],
)
def test_a_step_erases_one_sector_at_the_most(strategy, tmp_path):
    with steps.Board(tmp_path, strategy, *memory.images()) as board:
        for kind in ("update", "full"):
            rows = board.rows(kind, timing=False)
            assert {"ask", "decide", "stream", "arm"} == {row[0] for row in rows}
            assert max(erases for _, _, erases, _ in rows) == 1
            # A sector, and a note in the journal or the store.
            assert max(programs for *_, programs in rows) <= 3


def test_the_code_of_the_documentation_updates_a_board(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "fleet.md").read_text()
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL)[1]
    images = []
    for version in ("0.1", "0.2"):
        app = tmp_path / version
        app.mkdir()
        (app / "main.py").write_text(
            f"print('APP', {version!r})\n"
            "async def application():\n"
            "    print('kept', ota.confirm())\n"
            "    await asyncio.sleep(3600)\n" + code
        )
        images.append(image.build(app))
    with serve.start(tmp_path, port=0) as server:
        product = provision.Product(
            "lamp", "ab", images[0], url=f"{server.url}manifest.ota",
            config={"poll": {"spread_s": 0}},
        )  # fmt: skip
        done = provision.provision(tmp_path / "board", product, "hmac")
        for version, data in zip(("0.1", "0.2"), images, strict=True):
            publish.publish(
                tmp_path, data, publish.Release("lamp", version), [keys.load(done.key)]
            )
        with sim.Board(done.flash, heap="256K") as board:
            board.wait("APP 0.1", 20)
            board.wait("APP 0.2", 20)
            board.wait("kept True", 20)
