"""Where published files lie: a local folder, or a URL that fsspec knows (s3, gs, sftp, ...).

Both have: label, size(name), read(name, start, end), put(name, data, cache), encoding(name). A
file appears complete or not at all, wherever it fails, and no published file is deleted.
On SFTP servers whose rename replaces nothing, one is missing for a moment while it is replaced.
"""

import contextlib
import importlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit
from urllib.request import url2pathname

from .. import files
from ..errors import ToolError

_TYPE = "application/octet-stream"
# Stores where one put shows the file whole, and what their drivers call its header fields.
_PUT: dict[str, Callable[[str], dict[str, Any]]] = {
    "s3": lambda cache: {"ContentType": _TYPE, "CacheControl": cache},
    "gs": lambda cache: {
        "content_type": _TYPE,
        "fixed_key_metadata": {"cache_control": cache},
    },
    "memory": lambda cache: {},
}
_SAME = {"s3a": "s3", "gcs": "gs", "ssh": "sftp"}
_SCP = re.compile(r"[^/\\]+@[^/\\]+:")
# No drive of Windows: a scheme has two letters and no dot, and no number is behind it (a port).
_ONE_SLASH = re.compile(r"([a-z][a-z0-9+-]+):/*(?!\d)([^/\\].*)?", re.IGNORECASE)
_HOST = re.compile(
    r"(?:[a-z0-9-]+\.)+[a-z]{2,}\.?(?::\d*)?|\d{1,3}(?:\.\d{1,3}){3}(?::\d*)?|[a-z0-9.-]{2,}:\d*",
    re.IGNORECASE,
)
# Current SDKs add checksums that many S3-compatible stores reject (501) or keep as a part of
# the content. What is written here is compared with what the store returns.
_NO_CHECKSUMS = {
    "request_checksum_calculation": "when_required",
    "response_checksum_validation": "when_required",
}
_EXTRAS = ("s3", "gs", "sftp")  # of pyproject.toml


class Place(Protocol):
    """label: what people know it by, without a password."""

    label: str

    def size(self, name: str) -> int | None:
        """Bytes of a file, None if there is none. Raises ToolError."""

    def read(self, name: str, start: int = 0, end: int | None = None) -> bytes:
        """Bytes of a file, or some of them. Raises ToolError."""

    def put(self, name: str, data: bytes, cache: str) -> None:
        """Write a file in one step.

        Args:
            cache: its Cache-Control, where files have one.

        Raises:
            ToolError: it failed; what was there before is still complete.
        """

    def encoding(self, name: str) -> str:
        """The Content-Encoding with which a file is given out; "" for none, or if unknown. A
        place may do without this method."""


def locate(where: str | Path) -> Place:
    """The place that a path or a URL names.

    Raises:
        ToolError: its driver is missing, or text looks like an address, see folder().
    """
    text = str(where)
    if "://" not in text:
        return Folder(folder(where))
    if text.startswith("file://"):
        return Folder(url2pathname(urlsplit(text).path))
    if text.lower().startswith(("http://", "https://")):
        raise ToolError(
            f"{text}: that is where devices download; give the place of the server's files: "
            "sftp://USER@HOST/PATH, s3://BUCKET/PREFIX, a folder"
        )
    return Remote(text)


def folder(where: str | Path) -> Path:
    """The path of a folder of this computer, which need not exist yet.

    Raises:
        ToolError: a URL, or a text that looks like an address (scp's user@host:path, s3:/bucket,
            updates.example.com, 10.0.0.2:8000), unless such a folder exists.
    """
    text, path = str(where), Path(where)
    if isinstance(where, Path) or path.exists():
        return path
    if "://" in text:
        raise ToolError(f"{text}: the folder is a local one")
    if _SCP.match(text):
        raise ToolError(f"{text}: over SSH give sftp://USER@HOST/PATH; a folder: ./{text}")
    one = _ONE_SLASH.fullmatch(text)
    if one:
        raise ToolError(
            f"{text}: a URL has two slashes, {one[1]}://{one[2] or 'BUCKET'}; a folder: ./{text}"
        )
    if _HOST.fullmatch(text.replace("\\", "/").partition("/")[0]):
        raise ToolError(
            f"{text} looks like a server: give s3://BUCKET/PREFIX or sftp://USER@HOST/PATH; "
            f"a folder of that name: ./{text}"
        )
    return path


def remote(where: str | Path) -> bool:
    """True for a URL, False for a path."""
    return "://" in str(where)


class Folder:
    """A folder of this computer; it is made when something is put there."""

    def __init__(self, path: str | Path):
        self._path = Path(path)
        self.label = str(path)

    def size(self, name: str) -> int | None:
        """Bytes of a file, None if there is none."""
        path = self._path / name
        return path.stat().st_size if path.is_file() else None

    def read(self, name: str, start: int = 0, end: int | None = None) -> bytes:
        """Bytes [start, end) of a file."""
        return files.read(self._path / name)[start:end]

    def put(self, name: str, data: bytes, cache: str) -> None:
        """Write a file whole; what was there stays until then. A folder has no use for cache."""
        path = self._path / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise ToolError(f"{path.parent}: {e.strerror}") from e
        files.write(path, data)

    def encoding(self, name: str) -> str:
        """The Content-Encoding that is stored with a file: a folder stores none."""
        return ""


class Remote:
    """A folder, bucket or prefix at a URL. Credentials come from where its driver looks."""

    def __init__(self, url: str):
        self.label = re.sub(r"(://[^/@:]*):[^/@]*@", r"\1@", url).rstrip("/")
        scheme = url.partition("://")[0]
        self._scheme = _SAME.get(scheme, scheme)
        try:
            core = importlib.import_module("fsspec.core")
            with self._words("connect"):
                self._fs, root = core.url_to_fs(url, **_options(self._scheme))
        except ImportError as e:
            raise ToolError(f"{self.label}: {e}; {_install(self._scheme)}") from e
        self._root = root.rstrip("/")

    def size(self, name: str) -> int | None:
        """Bytes of a file, None if there is none."""
        with self._words(name):
            # What the driver remembers of its own writes is no answer of the store.
            self._fs.invalidate_cache()
            try:
                found = self._fs.info(f"{self._root}/{name}")
            except FileNotFoundError:
                return None
            return found["size"] if found["type"] == "file" else None

    def read(self, name: str, start: int = 0, end: int | None = None) -> bytes:
        """Bytes [start, end) of a file."""
        with self._words(name):
            # A range from 0 on would be rejected for an empty file.
            return self._fs.cat_file(f"{self._root}/{name}", start=start or None, end=end)

    def put(self, name: str, data: bytes, cache: str) -> None:
        """Write a file whole; what was there stays until then.

        Args:
            cache: value of Cache-Control, for stores that keep one with a file.
        """
        path = f"{self._root}/{name}"
        with self._words(name):
            if self._scheme in _PUT:
                self._fs.pipe_file(path, data, **_PUT[self._scheme](cache))
                return
            # Always the same name, so that one a failure left behind is used again.
            folder, _, last = path.rpartition("/")
            part = f"{folder}/.{last}.part"
            self._fs.makedirs(folder, exist_ok=True)
            try:
                self._fs.pipe_file(part, data)
                self._replace(part, path)
            except Exception:
                with contextlib.suppress(Exception):  # if the line is dead, the next run does
                    self._fs.rm_file(part)
                raise

    def _replace(self, part, path):
        """Rename part, which replaces what is there."""
        try:
            self._fs.mv(part, path)
            return
        except Exception:
            # Many SFTP servers do not know OpenSSH's posix-rename, and without it none replaces.
            ftp = getattr(self._fs, "ftp", None)
            if ftp is None:
                raise
        with contextlib.suppress(OSError):
            ftp.rename(part, path)
            return
        folder, _, last = path.rpartition("/")
        before = f"{folder}/.{last}.old"
        with contextlib.suppress(OSError):
            ftp.remove(before)
        ftp.rename(path, before)
        try:
            ftp.rename(part, path)
        except Exception:
            ftp.rename(before, path)
            raise
        with contextlib.suppress(OSError):
            ftp.remove(before)

    def encoding(self, name: str) -> str:
        """The Content-Encoding that is stored with a file, "" for none."""
        path = f"{self._root}/{name}"
        with self._words(name):
            if self._scheme == "s3":
                bucket, _, key = path.partition("/")
                return self._fs.call_s3("head_object", Bucket=bucket, Key=key).get(
                    "ContentEncoding", ""
                )
            if self._scheme == "gs":
                return self._fs.info(path).get("contentEncoding", "")
            return ""

    @contextlib.contextmanager
    def _words(self, name: str) -> Iterator[None]:
        # Each driver raises errors of its own libraries; people get the place and one line.
        try:
            yield
        except ImportError:
            raise
        except Exception as e:
            text = " ".join(str(e).split()) or type(e).__name__
            raise ToolError(f"{self.label}, {name}: {text}") from e


def _options(scheme: str) -> dict[str, Any]:
    """Arguments for the driver, beside its own configuration."""
    if scheme != "s3" or "AWS_REQUEST_CHECKSUM_CALCULATION" in os.environ:
        return {}
    try:
        config = importlib.import_module("botocore.config")
        config.Config(**_NO_CHECKSUMS)
    except (ImportError, TypeError):
        return {}  # an older one, which does not add any
    own = importlib.import_module("fsspec.config").conf.get("s3", {}).get("config_kwargs", {})
    return {"config_kwargs": {**_NO_CHECKSUMS, **own}}


def _install(scheme: str) -> str:
    if scheme in _EXTRAS:
        return f'pip install "micropython-ota-tool[{scheme}]"'
    return "pip install fsspec and the driver that it names for such URLs"
