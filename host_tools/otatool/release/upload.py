"""Copies published files to a place: packages, a check that they are there, the manifest last.

Packages are named by their content: one that is there with its size is never written again.
The old manifest is served until the new one replaces it in one step.
"""

import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from ota.manifest import MANIFEST_MAX

from .. import files
from ..errors import ToolError
from . import verify
from .destination import Place

MANIFEST = "manifest.ota"
PACKAGES = "packages"
PACKAGE_CACHE = "public, max-age=31536000, immutable"
MANIFEST_CACHE = "max-age=60, must-revalidate"
_NAME = re.compile(PACKAGES + r"/([0-9a-f]{24})\.ota", re.ASCII)
_TAIL = 16  # bytes of a package's end that are read back


@dataclass
class Content:
    """A manifest and all packages that it names, by their names."""

    manifest: bytes
    packages: dict[str, bytes]


@dataclass
class Done:
    """What was written, or would be, at a place, in this order.

    Attributes:
        kept: was there already.
        warnings: what devices may stumble over there, a sentence each.
    """

    place: str
    written: list[tuple[str, int]] = field(default_factory=list)
    kept: list[tuple[str, int]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def package_name(data: bytes) -> str:
    """Name of a package, by its content; also its URL relative to the manifest."""
    return f"{PACKAGES}/{hashlib.sha256(data).hexdigest()[:24]}.ota"


def is_package_name(url: str) -> bool:
    """True for the name of a package that publish() wrote."""
    return _NAME.fullmatch(url) is not None


def content(folder: str | Path) -> Content:
    """What publish() left in folder.

    Raises:
        ToolError: a package is missing, or is not the one that the manifest names.
    """
    folder = Path(folder)
    manifest = files.read(folder / MANIFEST)
    verify.refuse_altered(manifest, str(folder / MANIFEST))
    packages = {}
    try:
        listed = [
            (entry["url"], entry["size"])
            for release in _fields(manifest)["releases"]
            for image in release["images"]
            for entry in image["packages"]
        ]
        names = [name for name, _ in listed if _NAME.fullmatch(name)]
    except (ValueError, KeyError, TypeError) as e:
        raise ToolError(f"{folder / MANIFEST} is not a manifest: publish again") from e
    if len(names) < len(listed):
        raise ToolError(
            f"{folder / MANIFEST} names packages that publish did not write: publish again"
        )
    for name, size in listed:
        data = files.read(folder / name)
        if len(data) != size or package_name(data) != name:
            raise ToolError(f"{folder / name} is damaged: publish again")
        packages[name] = data
    return Content(manifest, packages)


def upload(
    place: Place,
    new: Content,
    cache: str = MANIFEST_CACHE,
    dry_run: bool = False,
    force: bool = False,
) -> Done:
    """Upload everything to a place; what is there with the same content is not written again.

    Args:
        cache: Cache-Control of the manifest.
        dry_run: write nothing, return what would be written.
        force: replace the manifest there, whatever it is.

    Raises:
        ToolError: it failed; the previous manifest is still served.
    """
    if not force and not _same(place, new.manifest):
        fields = _fields(new.manifest)
        refuse_older(place, fields["product"], fields["sequence"])
    done = put_packages(place, new, dry_run)
    put_manifest(place, new, done, cache, dry_run)
    return done


def refuse_older(place: Place, product: str, sequence: int) -> None:
    """Raise ToolError unless a manifest of this number may replace what is at a place."""
    size = place.size(MANIFEST)
    if size is None:
        return
    try:
        old = _fields(place.read(MANIFEST) if size <= MANIFEST_MAX else b"")
        owner, last = old["product"], old["sequence"]
        if not isinstance(last, int):
            raise ValueError
    except (ValueError, KeyError) as e:
        raise ToolError(
            f"{place.label}: its {MANIFEST} was not published by otatool; "
            "otatool upload --force replaces it"
        ) from e
    if owner != product:
        raise ToolError(f"{place.label} belongs to product {owner!r}")
    if last >= sequence:
        raise ToolError(
            f"{place.label} has manifest {last}, this would be {sequence}, which devices reject: "
            "give the folder, or the --history, that it was published from"
        )


def put_packages(place: Place, new: Content, dry_run: bool = False) -> Done:
    """Write the packages that are not there. Raises ToolError."""
    done = Done(place.label)
    for name, data in new.packages.items():
        row = name, len(data)
        if place.size(name) == len(data):
            done.kept.append(row)
            continue
        if not dry_run:
            place.put(name, data, PACKAGE_CACHE)
        done.written.append(row)
    return done


def put_manifest(
    place: Place, new: Content, done: Done, cache: str = MANIFEST_CACHE, dry_run: bool = False
) -> None:
    """Replace the manifest, in one step, once every package it names is there; add to done.

    Raises:
        ToolError: a package is missing at the place, or differs.
    """
    if not dry_run:
        fresh = {name for name, _ in done.written}
        for name, data in new.packages.items():
            _check(place, name, data, name in fresh)
            done.warnings += _encoded(place, name)
    row = MANIFEST, len(new.manifest)
    if _same(place, new.manifest):
        done.kept.append(row)
        return
    if not dry_run:
        place.put(MANIFEST, new.manifest, cache)
        if not _same(place, new.manifest):
            raise ToolError(
                f"{place.label}: {MANIFEST} does not read back as it was written: devices "
                "reject it; the store, or a cache in front of it, changes files"
            )
        done.warnings += _encoded(place, MANIFEST)
    done.written.append(row)


def _encoded(place: Place, name: str) -> list[str]:
    ask = getattr(place, "encoding", None)
    found = ask(name) if ask else ""
    if found in ("", "identity"):
        return []
    return [
        f"{name} is served with Content-Encoding: {found}, which devices may reject: let the "
        "store drop it, or set AWS_REQUEST_CHECKSUM_CALCULATION=when_required and upload again"
    ]


def _check(place: Place, name: str, data: bytes, fresh: bool) -> None:
    size = place.size(name)
    if size != len(data):
        found = "is not there" if size is None else f"has {size} bytes, not {len(data)}"
        raise ToolError(f"{place.label}: {name} {found}; the manifest was not replaced")
    # That it has a size does not say that it can be read: one that was written now is, and the
    # end of one that was there.
    start = 0 if fresh else max(0, size - _TAIL)
    if place.read(name, start, size) != data[start:]:
        raise ToolError(
            f"{place.label}: {name} has different bytes; the manifest was not replaced"
        )


def _same(place: Place, manifest: bytes) -> bool:
    return place.size(MANIFEST) == len(manifest) and place.read(MANIFEST) == manifest


def _fields(manifest: bytes) -> dict:
    # Not verified: nothing is trusted for what stands here, it only stops mistakes.
    try:
        found = json.loads(manifest.partition(b"\n")[0])
    except RecursionError as e:
        raise ValueError from e
    if not isinstance(found, dict):
        raise ValueError
    return found
