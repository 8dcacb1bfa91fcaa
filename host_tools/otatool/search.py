"""Several patches looked for side by side, on all processors.

A search takes one processor and some 400 bytes of memory for each byte of image.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import NamedTuple

from . import delta
from .payload import PatchWriter
from .pointers import Filter
from .stream import BlockPlan


class Search(NamedTuple):
    """A patch to look for; the fields are arguments of delta.best()."""

    old: bytes
    new: bytes
    block: int = 4096
    in_place: bool = False
    quick: bool = False
    spare: int = 0


def run(
    searches: Sequence[Search],
    progress: Callable[[float], None] | None = None,
    jobs: int | None = None,
) -> list[PatchWriter]:
    """The patches found, in turn.

    progress: called with the part that is done, 0 to 1. jobs: how many run at a time, at the
    most; None: one for each processor.
    """
    jobs = min(len(searches), jobs or os.cpu_count() or 1)
    if jobs < 2:
        found = []
        for i, s in enumerate(searches):
            found.append(_writer(s, *_search(s, _part(progress, i, len(searches)))))
        return found
    # Large ones first: what is left for the end is short.
    order = sorted(range(len(searches)), key=lambda i: -len(searches[i].new))
    with ProcessPoolExecutor(jobs) as pool:
        futures = {pool.submit(_search, searches[i]): i for i in order}
        for n, _ in enumerate(as_completed(futures), 1):
            if progress:
                progress(n / len(searches))
    made = {i: future.result() for future, i in futures.items()}
    return [_writer(s, *made[i]) for i, s in enumerate(searches)]


def _part(progress, i, count):
    return None if progress is None else lambda part: progress((i + part) / count)


def _search(s: Search, progress=None) -> tuple[list[BlockPlan], Filter | None]:
    writer = delta.best(s.old, s.new, s.block, s.in_place, None, s.quick, s.spare, progress)
    # Without what was remembered on the way: this goes from one process to another.
    plans = [BlockPlan(p.index, p.start, p.length, p.segments) for p in writer.plans]
    return plans, writer.filter


def _writer(s, plans, filter):
    return PatchWriter(plans, s.old, s.new, s.block, s.in_place, filter)
