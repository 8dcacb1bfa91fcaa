"""A static folder that devices update from: packages named by digest, one signed manifest.

    manifest.ota            what devices ask for; replaced last, in one step
    packages/NAME.ota       named by the digest of their content: they never change
    .history/               what publish() needs for the next release: images and history.json

A device that asks in the middle sees the old state or the new one: new packages are written
first, packages of the manifest before stay. The same goes for other places that get a copy.
The history is as trusted as the key: who can change it gets his images into what is signed.
"""

import base64
import hashlib
import itertools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ota import manifest as device_manifest
from ota.crypto import Keys
from ota.errors import OtaError
from ota.package import version as parse_version

from ..errors import ToolError
from ..image import build as images
from ..image import contents
from ..patch import jobs as search
from ..terminal import values
from ..terminal.values import WHOLE as WHOLE
from . import package as build
from . import upload
from .destination import Folder, Place
from .history import History
from .keys import SigningKey
from .upload import MANIFEST as MANIFEST

_HISTORY = ".history"


@dataclass
class Release:
    """What is published. floor: security version, None: that of the release before; channel:
    devices of other channels ask elsewhere; last: how many older versions get deltas; in_place:
    also deltas for devices with one slot, which have spare bytes of flash for a stash. mpy: of
    build.Meta, 0: what the image says. rollout: the share of the fleet, in ten-thousandths; the
    others are told of the last release that went to all. windows: wbits of build.package(). quick:
    see delta.plan(); jobs: patches looked for at a time, see search.run(). slot: bytes of the
    devices' slots, to warn of an image that outgrows them; 0: what an earlier release said."""

    product: str
    version: str
    target: str = "app"
    floor: int | None = None
    channel: str = "stable"
    last: int = 3
    in_place: bool = True
    block: int = build.BLOCK
    expires: int = 0
    spare: int = 0
    mpy: int = 0
    rollout: int = WHOLE
    windows: Sequence[int] = build.WINDOWS
    quick: bool = False
    jobs: int | None = 1
    slot: int = 0


@dataclass
class Published:
    """One row per package: kind ("full", "delta", "in place"), base version, bytes, URL.

    done: what was written, or would be, the folder's first. reused: the packages are those of
    before. warnings: sentences about what devices would stumble over.
    """

    sequence: int
    image_size: int
    rows: list[tuple[str, str, int, str]]
    done: list[upload.Done]
    reused: bool = False
    warnings: list[str] = field(default_factory=list)


def publish(
    folder: str | Path,
    image: bytes,
    release: Release,
    keys: Sequence[SigningKey],
    progress: Callable[[float], None] | None = None,
    places: Sequence[Place] = (),
    history: Place | None = None,
    cache: str = upload.MANIFEST_CACHE,
    dry_run: bool = False,
) -> Published:
    """Add a release to folder and replace its manifest; releases of other targets stay in it.

    The last version may be published once more with the same image: a run that failed, a
    manifest that expires, or a rollout that goes on. Its packages stay, byte for byte.

    progress: called with the part of the search for patches that is done, 0 to 1. places: get
    a copy. history: of earlier releases, by default in the folder. cache: Cache-Control of
    the manifest. dry_run: make everything, write nothing.
    Raises ToolError: the version is not newer than the last one, nothing differs, the floor is
    lower than before, the device's own code refuses the result, or a place does not take it.
    """
    here = Folder(folder)
    _check(release, image, keys)
    past = History(history or history_of(folder), release.product, release.channel)
    if release.slot:
        past.slots[release.target] = release.slot
    warnings = _warnings(image, release.target, past.slots.get(release.target, 0))
    older = past.of(release.target)
    floor = release.floor
    if floor is None:
        floor = older[-1]["floor"] if older else 0
    again = _again(past, older, release, image)
    if older and floor < older[-1]["floor"]:
        raise ToolError(
            f"floor {floor} is below {older[-1]['floor']}, that of {older[-1]['version']}: "
            "devices that confirmed it refuse this one"
        )
    sequence = past.sequence + 1
    everywhere = [here, *places]
    for place in everywhere:
        upload.refuse_older(place, release.product, sequence)
    bases = [(r, past.image(r)) for r in (older[: -release.last - 1 : -1] if release.last else [])]
    # Packages name the manifest that came with them first. They stay the same when a later one
    # names them again: their names, and what caches and devices have of them.
    made = again.get("sequence", sequence) if again else sequence
    meta = build.Meta(
        release.product, release.version, release.target, floor, made,
        mpy=release.mpy or images.needs_mpy(image),
    )  # fmt: skip
    options = _options(release, meta, keys, bases)
    found = _recorded(again, options, everywhere) if again else None
    reused = found is not None
    packages, entries = found or _build(image, meta, release, keys, bases, progress)
    entry = {
        "version": release.version,
        "floor": floor,
        "images": [{"target": release.target, **_sized(image), "packages": entries}],
    }
    kept = past.others(release.target)
    if release.rollout < WHOLE:
        entry["rollout"] = release.rollout
        kept = past.whole(release.target, release.version) + kept
    packages = {**packages, **_kept_packages(here, kept)}
    for place in places or [here]:
        _refuse_gaps(place, kept, packages)
    data = sign_manifest(
        {
            "format": 1,
            "product": release.product,
            "channel": release.channel,
            "sequence": sequence,
            "issued": int(time.time()),
            **({"expires": release.expires} if release.expires else {}),
            "releases": [entry, *kept],
        },
        keys,
    )
    new = upload.Content(data, packages)
    done = [upload.put_packages(place, new, dry_run) for place in everywhere]
    for place in places:  # again: the search took its time, and somebody else may publish
        upload.refuse_older(place, release.product, sequence)
    if not dry_run:
        row = {
            "target": release.target, "version": release.version, "floor": floor, "entry": entry,
            "sequence": made, "options": options,
        }  # fmt: skip
        past.add(row, image, sequence)
    # Packages are all there: from here on devices are told about them.
    for place, d in zip(everywhere, done, strict=True):
        upload.put_manifest(place, new, d, cache, dry_run)
    return Published(sequence, len(image), _rows(entries, bases), done, reused, warnings)


def latest(history: Place, target: str = "app") -> bytes:
    """Image of the newest release of target. Raises ToolError if there is none."""
    past = History(history)
    releases = past.of(target)
    if not releases:
        raise ToolError(f"{history.label}: no image of {target!r} was published there")
    return past.image(releases[-1])


def history_of(folder: str | Path) -> Place:
    """Where publish() keeps the history unless told otherwise."""
    return Folder(Path(folder) / _HISTORY)


def sign_manifest(content: dict, keys: Sequence[SigningKey]) -> bytes:
    """Manifest bytes: JSON, then one signature line per key; read by the device's own code.

    Raises ToolError if the device would refuse it.
    """
    body = json.dumps(content, separators=(",", ":")).encode() + b"\n"
    lines = b"".join(
        b"sig " + k.id.hex().encode() + b" " + base64.b64encode(k.sign(body)) + b"\n" for k in keys
    )
    try:
        device_manifest.parse(body + lines, Keys([k.public for k in keys]))
    except OtaError as e:
        hint = ""
        if e.reason in ("size", "field"):
            hint = f": {len(body + lines)} bytes, give fewer old versions (--last)"
        raise ToolError(f"a device would refuse the manifest, {e.reason}{hint}") from e
    return body + lines


def _check(release: Release, image: bytes, keys: Sequence[SigningKey]) -> None:
    """Raises ToolError for what no device takes, or no file can be called."""
    if not keys:
        raise ToolError("devices refuse what is not signed: give a key")
    values.version(release.version)
    for what in ("product", "target", "channel"):
        values.name(getattr(release, what), what)
    for what, value, most in (
        ("floor", release.floor or 0, values.U32),
        ("last", release.last, values.LAST),
        ("rollout", release.rollout, WHOLE),
        ("expires", release.expires, values.U32),
    ):
        if not 0 <= value <= most:
            raise ToolError(f"{what} {value}: a whole number from 0 to {most}")
    contents.refuse_others(image, "the image", release.target)


def _again(past: History, older: list[dict], release: Release, image: bytes) -> dict | None:
    """The last release, taken off older, if this is the same once more; None if it is a new one.

    Raises ToolError if the version is not newer.
    """
    number = parse_version(release.version)
    again = None
    if older and parse_version(older[-1]["version"]) == number and past.image(older[-1]) == image:
        again = older.pop()
    if older and parse_version(older[-1]["version"]) >= number:
        raise ToolError(f"version {release.version} is not newer than {older[-1]['version']}")
    return again


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
        "bases": [[r["version"], r["floor"], _sized(old)["digest"]] for r, old in bases],
    }


def _recorded(again: dict, options: dict, everywhere: Sequence[Place]):
    """(packages by name, their entries) of a release that was published before with the same
    options; None if it has others, or its packages are nowhere any more."""
    if again.get("options") != options:
        return None
    entries = again["entry"]["images"][0]["packages"]
    packages = {}
    for entry in entries:
        data = _found(entry, everywhere)
        if data is None:
            return None
        packages[entry["url"]] = data
    return packages, entries


def _found(entry: dict, places: Sequence[Place]) -> bytes | None:
    """A package from the first place that has it whole."""
    for place in places:
        if place.size(entry["url"]) == entry["size"]:
            data = place.read(entry["url"])
            if upload.package_name(data) == entry["url"]:
                return data
    return None


def _build(image, meta, release, keys, bases, progress):
    """(packages by name, their entries in the manifest) of a release."""
    packages: dict[str, bytes] = {}
    entries: list[dict] = []

    def add(built: build.Built, old: bytes | None = None, in_place: bool = False) -> None:
        url = upload.package_name(built.data)
        packages[url] = built.data
        entry: dict = {"url": url, "size": len(built.data), "digest": built.digest.hex()}
        if old is not None:
            entry["base"] = _sized(old)
        if in_place:
            entry["in_place"] = True
        entries.append(entry)

    add(build.full(image, meta, keys, release.block, wbits=release.windows))
    ways = (False, True) if release.in_place else (False,)
    wanted = [
        build.searches(old, image, release.block, way, way, release.quick, release.spare)
        for _, old in bases
        for way in ways
    ]
    found = iter(search.run([s for each in wanted for s in each], progress, release.jobs))
    for r, old in bases:
        meta.base_version = r["version"]
        for in_place in ways:
            back = build.Meta(
                release.product, r["version"], release.target, r["floor"],
                base_version=release.version, mpy=images.needs_mpy(old),
            ) if in_place else None  # fmt: skip
            built = build.patch(
                old, image, meta, keys, release.block, in_place, back,
                found=list(itertools.islice(found, 1 + in_place)), wbits=release.windows,
            )  # fmt: skip
            add(built, old, in_place)
    return packages, entries


def _rows(entries, bases) -> list[tuple[str, str, int, str]]:
    """The packages of a release for people."""
    versions = {_sized(old)["digest"]: r["version"] for r, old in reversed(bases)}
    out = []
    for entry in entries:
        base = versions.get(entry["base"]["digest"], "") if "base" in entry else ""
        kind = "full" if "base" not in entry else "in place" if "in_place" in entry else "delta"
        out.append((kind, base, entry["size"], entry["url"]))
    return out


def _warnings(image: bytes, target: str, slot: int) -> list[str]:
    """What devices would stumble over. Raises ToolError for a damaged image."""
    out = []
    if slot and len(image) > slot:
        out.append(
            f"the image has {len(image)} bytes, the devices' slots {slot}: they refuse it "
            "(fit, code 62)"
        )
    if target == "app":
        files = images.contents(image)
        if files:
            out += contents.warnings(files)
        else:
            out.append("neither ROMFS nor littlefs: devices that mount their slot cannot start it")
    return out


def _kept_packages(here: Folder, releases: list[dict]) -> dict[str, bytes]:
    """Packages of earlier releases that stay in the manifest, as far as the folder has them:
    a new place gets them, too."""
    out = {}
    for release in releases:
        for entry in (p for image in release["images"] for p in image["packages"]):
            data = _found(entry, [here])
            if data is not None:
                out[entry["url"]] = data
    return out


def _refuse_gaps(place: Place, releases: list[dict], packages: dict[str, bytes]) -> None:
    """Raises ToolError unless all packages of earlier releases are there, or among packages."""
    for release in releases:
        for package in (p for image in release["images"] for p in image["packages"]):
            if package["url"] not in packages and place.size(package["url"]) != package["size"]:
                raise ToolError(
                    f"{place.label}: packages of {release['version']} are missing, which devices "
                    f"are still told of"
                )


def _sized(image: bytes) -> dict:
    return {"size": len(image), "digest": hashlib.sha256(image).hexdigest()}
