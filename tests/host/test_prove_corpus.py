"""A sample of tests/prove/prove_corpus.py, on images that are here."""

import sys
from pathlib import Path

import code_images
import pytest
from otatool.demo import application
from otatool.patch.pointers import Table
from otatool.patch.pointers.thumb import Thumb

sys.path.insert(0, str(Path(__file__).parents[1] / "shared"))

import numpy as np  # noqa: E402
import prove_corpus  # noqa: E402
from explore import Failed  # noqa: E402


def demo():
    images = application.images()
    return images[application.OLD], images[application.NEW]


def firmware():
    """Code with pointers that follow what was put in, and two parts that changed places."""
    old = code_images.thumb(21, 60000, 0)
    f = Thumb(0, len(old))
    f.table = Table(np.array([20000]), np.array([52]))
    new = f.predict(old[:20000], 0, 0) + bytes(52) + f.predict(old[20000:], 20000, 20052)
    return old, new[:8000] + new[30000:50000] + new[8000:30000] + new[50000:]


@pytest.mark.parametrize("sector", prove_corpus.SECTORS)
@pytest.mark.parametrize("images", [demo, pytest.param(firmware, marks=pytest.mark.long)])
def test_cuts_of_updates_in_place(images, sector):
    operations, cases = prove_corpus.prove(images.__name__, *images(), sector, 90)
    assert operations > 100
    assert 80 <= cases <= 200


def test_it_asserts_the_budget_of_erases(monkeypatch):
    from ota.strategy import rewrite

    plain = rewrite.put

    def twice(region, offset, data):
        plain(region, offset, data)
        plain(region, offset, data)

    monkeypatch.setattr(rewrite, "put", twice)
    with pytest.raises(Failed, match="erases"):
        prove_corpus.prove("demo", *demo(), 4096, 90)
