"""All packages of a release: one full, and deltas for devices that run older versions."""

import hashlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..image.build import needs_mpy
from ..patch import jobs
from . import package, upload
from .destination import Place
from .keys import SigningKey
from .plan import Plan, Release


@dataclass
class Made:
    """The packages of a release.

    Attributes:
        packages: their bytes, by name.
        entries: what the manifest says of them.
        options: all that decides their bytes.
        reused: they are those of the previous run.
    """

    packages: dict[str, bytes]
    entries: list[dict]
    options: dict
    reused: bool


def make(
    plan: Plan,
    image: bytes,
    release: Release,
    keys: Sequence[SigningKey],
    places: Sequence[Place],
    progress: Callable[[float], None] | None,
) -> Made:
    """The packages of a release: the previous ones if nothing that decides their bytes differs.

    Args:
        places: where the previous ones may be.
        progress: called with the part of the search for patches that is done, 0 to 1.
    """
    meta = package.Meta(
        release.product, release.version, release.target, plan.floor, plan.first,
        mpy=release.mpy or needs_mpy(image),
    )  # fmt: skip
    options = _options(release, meta, keys, plan.bases)
    before = _recorded(plan.again, options, places) if plan.again else None
    packages, entries = before or _build(image, meta, release, keys, plan.bases, progress)
    return Made(packages, entries, options, before is not None)


def rows(entries: list[dict], bases: list[tuple]) -> list[tuple[str, str, int, str]]:
    """The packages of a release for people."""
    versions = {sized(old)["digest"]: r["version"] for r, old in reversed(bases)}
    out = []
    for entry in entries:
        base = versions.get(entry["base"]["digest"], "") if "base" in entry else ""
        kind = "full" if "base" not in entry else "in place" if "in_place" in entry else "delta"
        out.append((kind, base, entry["size"], entry["url"]))
    return out


def sized(image: bytes) -> dict:
    """Size and digest of an image, as a manifest has them."""
    return {"size": len(image), "digest": hashlib.sha256(image).hexdigest()}


def found(entry: dict, places: Sequence[Place]) -> bytes | None:
    """A package from the first place that has it whole."""
    for place in places:
        if place.size(entry["url"]) == entry["size"]:
            data = place.read(entry["url"])
            if upload.package_name(data) == entry["url"]:
                return data
    return None


def _options(release, meta, keys, bases) -> dict:
    """All that decides which bytes the packages of an image have."""
    return {
        "keys": [k.id.hex() for k in keys],
        "version": meta.version,
        "floor": meta.floor,
        "mpy": meta.mpy,
        "sequence": meta.sequence,
        "block": release.block,
        "windows": list(release.windows),
        "in_place": release.in_place,
        "spare": release.spare,
        "quick": release.quick,
        "bases": [[r["version"], r["floor"], sized(old)["digest"]] for r, old in bases],
    }


def _recorded(again: dict, options: dict, everywhere: Sequence[Place]):
    """(packages by name, their entries) of a release that was published before with the same
    options; None if it has others, or its packages are nowhere any more."""
    if again.get("options") != options:
        return None
    entries = again["entry"]["images"][0]["packages"]
    packages = {}
    for entry in entries:
        data = found(entry, everywhere)
        if data is None:
            return None
        packages[entry["url"]] = data
    return packages, entries


def _build(image, meta, release, keys, bases, progress):
    """(packages by name, their entries in the manifest) of a release."""
    packages: dict[str, bytes] = {}
    entries: list[dict] = []

    def add(built: package.Built, old: bytes | None = None, in_place: bool = False) -> None:
        url = upload.package_name(built.data)
        packages[url] = built.data
        entry: dict = {"url": url, "size": len(built.data), "digest": built.digest.hex()}
        if old is not None:
            entry["base"] = sized(old)
        if in_place:
            entry["in_place"] = True
        entries.append(entry)

    add(package.full(image, meta, keys, release.block, wbits=release.windows))
    ways = (False, True) if release.in_place else (False,)
    wanted = [
        package.searches(old, image, release.block, way, way, release.quick, release.spare)
        for _, old in bases
        for way in ways
    ]
    found = iter(jobs.run([s for each in wanted for s in each], progress, release.jobs))
    for r, old in bases:
        meta.base_version = r["version"]
        for in_place in ways:
            back = package.Meta(
                release.product, r["version"], release.target, r["floor"],
                base_version=release.version, mpy=needs_mpy(old),
            ) if in_place else None  # fmt: skip
            built = package.patch(
                old, image, meta, keys, release.block, in_place, back,
                found=list(itertools.islice(found, 1 + in_place)), wbits=release.windows,
            )  # fmt: skip
            add(built, old, in_place)
    return packages, entries
