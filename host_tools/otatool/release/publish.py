"""A static folder that devices update from: packages named by digest, one signed manifest.

    manifest.ota            what devices ask for; replaced last, in one step
    packages/NAME.ota       named by the digest of their content: they never change
    .history/               what publish() needs for the next release: images and history.json

A device that asks in the middle sees the old state or the new one: new packages are written
first, those of the previous manifest are kept. The same goes for other places that get a copy.
The history is as trusted as the key: whoever can change it can get images of their own signed.
"""

import base64
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ota import manifest as device_manifest
from ota.crypto import Keys
from ota.errors import OtaError

from ..errors import ToolError
from ..image import checks
from ..image.build import contents
from ..terminal import values
from ..terminal.values import WHOLE as WHOLE
from . import packages, upload
from .destination import Folder, Place
from .history import History
from .keys import SigningKey
from .plan import Plan, look_back
from .plan import Release as Release
from .upload import MANIFEST as MANIFEST

_HISTORY = ".history"


@dataclass
class Published:
    """One row per package: kind ("full", "delta", "in place"), base version, bytes, URL.

    Attributes:
        done: what was written, or would be written; the folder comes first.
        reused: the packages are those of the previous run.
        warnings: sentences about what devices would stumble over.
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
    manifest that expires, or a rollout that continues. Its packages stay, byte for byte.

    Args:
        progress: called with the fraction of the patch search completed, 0 to 1.
        places: further destinations that get a copy.
        history: of earlier releases; by default in the folder.
        cache: Cache-Control of the manifest.
        dry_run: make everything, write nothing.
    Raises:
        ToolError: the version is not newer than the last one, nothing differs, the floor is
            lower than before, the device's own code rejects the result, or a place fails.
    """
    _check(release, image, keys)
    here = Folder(folder)
    past = History(history or history_of(folder), release.product, release.channel)
    if release.slot:
        past.slots[release.target] = release.slot
    warnings = _warnings(image, release.target, past.slots.get(release.target, 0))
    plan = look_back(past, release, image)
    for place in (here, *places):
        upload.refuse_older(place, release.product, plan.sequence)
    made = packages.make(plan, image, release, keys, [here, *places], progress)
    entry, kept = _entries(past, plan, image, release, made)
    offered = {**made.packages, **_kept(here, kept)}
    for place in places or [here]:
        _refuse_gaps(place, kept, offered)
    new = upload.Content(_make_manifest(plan, release, keys, [entry, *kept]), offered)

    def remember() -> None:
        row = {
            "target": release.target, "version": release.version, "floor": plan.floor,
            "entry": entry, "sequence": plan.first, "options": made.options,
        }  # fmt: skip
        past.add(row, image, plan.sequence)

    done = _put_everywhere(
        here, places, new, release.product, plan.sequence, remember, cache, dry_run
    )
    rows = packages.rows(made.entries, plan.bases)
    return Published(plan.sequence, len(image), rows, done, made.reused, warnings)


def latest(history: Place, target: str = "app") -> bytes:
    """Image of the newest release of target.

    Raises:
        ToolError: there is none.
    """
    past = History(history)
    releases = past.of(target)
    if not releases:
        raise ToolError(f"{history.label}: no image of {target!r} was published there")
    return past.image(releases[-1])


def history_of(folder: str | Path) -> Place:
    """Where publish() keeps the history by default."""
    return Folder(Path(folder) / _HISTORY)


def sign_manifest(content: dict, keys: Sequence[SigningKey]) -> bytes:
    """Manifest bytes: JSON, then one signature line per key; read by the device's own code.

    Raises:
        ToolError: a device would reject it.
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
            hint = f": {len(body + lines)} bytes, use fewer old versions (--last)"
        raise ToolError(f"a device would reject the manifest, {e.reason}{hint}") from e
    return body + lines


def _check(release: Release, image: bytes, keys: Sequence[SigningKey]) -> None:
    """Raises ToolError for values that no device accepts or that cannot be file names."""
    if not keys:
        raise ToolError("devices reject unsigned packages: give a key")
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
    checks.refuse_others(image, "the image", release.target)


def _entries(
    past: History, plan: Plan, image: bytes, release: Release, made: packages.Made
) -> tuple[dict, list[dict]]:
    """The manifest's entry of this release, and those of earlier ones that stay in it."""
    entry = {
        "version": release.version,
        "floor": plan.floor,
        "images": [{"target": release.target, **packages.sized(image), "packages": made.entries}],
    }
    kept = past.others(release.target)
    if release.rollout < WHOLE:
        entry["rollout"] = release.rollout
        kept = past.whole(release.target, release.version) + kept
    return entry, kept


def _make_manifest(
    plan: Plan, release: Release, keys: Sequence[SigningKey], releases: list[dict]
) -> bytes:
    """The signed manifest. Raises ToolError if a device would reject it."""
    return sign_manifest(
        {
            "format": 1,
            "product": release.product,
            "channel": release.channel,
            "sequence": plan.sequence,
            "issued": int(time.time()),
            **({"expires": release.expires} if release.expires else {}),
            "releases": releases,
        },
        keys,
    )


def _put_everywhere(
    here: Folder,
    places: Sequence[Place],
    new: upload.Content,
    product: str,
    sequence: int,
    remember: Callable[[], None],
    cache: str,
    dry_run: bool,
) -> list[upload.Done]:
    """Packages to every place, then the history, then the manifest to every place.

    The order is what makes it safe to stop anywhere: devices are offered packages only once all of
    them are there, and the history knows a release before any device does.
    """
    everywhere = [here, *places]
    done = [upload.put_packages(place, new, dry_run) for place in everywhere]
    for place in places:  # again: the search took its time, and somebody else may publish
        upload.refuse_older(place, product, sequence)
    if not dry_run:
        remember()
    for place, d in zip(everywhere, done, strict=True):
        upload.put_manifest(place, new, d, cache, dry_run)
    return done


def _warnings(image: bytes, target: str, slot: int) -> list[str]:
    """What devices would stumble over. Raises ToolError for a damaged image."""
    out = []
    if slot and len(image) > slot:
        out.append(
            f"the image has {len(image)} bytes, the devices' slots have {slot}: they reject it "
            "(fit, code 62)"
        )
    if target == "app":
        files = contents(image)
        if files:
            out += checks.warnings(files)
        else:
            out.append("neither ROMFS nor littlefs: devices that mount their slot cannot start it")
    return out


def _kept(here: Folder, releases: list[dict]) -> dict[str, bytes]:
    """Packages of earlier releases that stay in the manifest, as far as the folder has them:
    a new place gets them, too."""
    out = {}
    for release in releases:
        for entry in (p for image in release["images"] for p in image["packages"]):
            data = packages.found(entry, [here])
            if data is not None:
                out[entry["url"]] = data
    return out


def _refuse_gaps(place: Place, releases: list[dict], new: dict[str, bytes]) -> None:
    """Raise ToolError unless all packages of earlier releases are there or among the new."""
    for release in releases:
        for entry in (p for image in release["images"] for p in image["packages"]):
            if entry["url"] not in new and place.size(entry["url"]) != entry["size"]:
                raise ToolError(
                    f"{place.label}: packages of {release['version']} are missing, which "
                    f"devices are still offered"
                )
