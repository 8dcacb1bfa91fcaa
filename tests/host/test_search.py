"""Patches looked for side by side, and how far the search says it is."""

import pytest
from otatool.demo import application
from otatool.patch import find as delta
from otatool.patch import jobs as search
from otatool.patch import payload


@pytest.fixture(scope="module")
def wanted():
    images = application.images()
    old, new = images[application.OLD], images[application.NEW]
    there = search.Search(old, new, quick=True)
    return [there, there._replace(in_place=True), there._replace(old=new, new=old, spare=4096)]


def test_side_by_side_or_in_turn_they_are_the_same(wanted):
    streams = []
    for jobs in (1, 2, None):
        found = search.run(wanted, jobs=jobs)
        streams.append([payload.stream(w) for w in found])
        for s, w in zip(wanted, found, strict=True):
            assert payload.decode(w, s.old, len(s.new), s.block, s.in_place) == s.new
    assert streams[0] == streams[1] == streams[2]


@pytest.mark.parametrize("jobs", (1, 2))
def test_progress_goes_up_to_the_end(wanted, jobs):
    seen = []
    search.run(wanted, seen.append, jobs)
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(1)


def test_progress_of_a_thorough_search(wanted):
    seen = []
    delta.best(wanted[0].old, wanted[0].new, progress=seen.append)
    assert len(set(seen)) > 4
    assert seen == sorted(seen)
    assert seen[-1] == 1


def test_nothing_wanted_nothing_found():
    assert search.run([]) == []


def test_errors_of_a_search_come_out(wanted):
    with pytest.raises(ZeroDivisionError):
        search.run([wanted[0]._replace(block=0), wanted[1]], jobs=2)
