"""Where published files lie: a local folder, or a URL that fsspec knows (s3, gs, sftp, ...).

Both have: label, size(name), read(name, start, end), put(name, data, cache). A file appears
complete or not at all, whoever fails and when; nothing is ever deleted.
"""

import contextlib
import importlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit
from urllib.request import url2pathname

from . import files
from .errors import ToolError

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
_EXTRAS = ("s3", "gs", "sftp")  # of pyproject.toml


class Place(Protocol):
    """label: what people know it by, without a password."""

    label: str

    def size(self, name: str) -> int | None:
        """Bytes of a file, None if there is none. Raises ToolError."""

    def read(self, name: str, start: int = 0, end: int | None = None) -> bytes:
        """Bytes of a file, or some of them. Raises ToolError."""

    def put(self, name: str, data: bytes, cache: str) -> None:
        """Write a file in one step; cache: its Cache-Control, where files have one.

        Raises ToolError; what was there before is whole then.
        """


def locate(where: str | Path) -> Place:
    """The place that a path or a URL names. Raises ToolError if its driver is missing, and for
    an address as scp takes it, which would be a strange folder."""
    text = str(where)
    if "://" not in text:
        if _SCP.match(text) and not Path(text).exists():
            raise ToolError(f"{text}: over SSH give sftp://USER@HOST/PATH; a folder: ./{text}")
        return Folder(where)
    if text.startswith("file://"):
        return Folder(url2pathname(urlsplit(text).path))
    return Remote(text)


def remote(where: str | Path) -> bool:
    """True for a URL, False for a path."""
    return "://" in str(where)


class Folder:
    """A folder of this computer; it is made when something is put there."""

    def __init__(self, path: str | Path):
        self._path = Path(path)
        self.label = str(path)

    def size(self, name):
        path = self._path / name
        return path.stat().st_size if path.is_file() else None

    def read(self, name, start=0, end=None):
        return files.read(self._path / name)[start:end]

    def put(self, name, data, cache):
        path = self._path / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise ToolError(f"{path.parent}: {e.strerror}") from e
        files.write(path, data)


class Remote:
    """A folder, bucket or prefix at a URL. Credentials come from where its driver looks."""

    def __init__(self, url: str):
        self.label = re.sub(r"(://[^/@:]*):[^/@]*@", r"\1@", url).rstrip("/")
        scheme = url.partition("://")[0]
        self._scheme = _SAME.get(scheme, scheme)
        try:
            core = importlib.import_module("fsspec.core")
            with self._words("connect"):
                self._fs, root = core.url_to_fs(url)
        except ImportError as e:
            raise ToolError(f"{self.label}: {e}; {_install(self._scheme)}") from e
        self._root = root.rstrip("/")

    def size(self, name):
        with self._words(name):
            # What the driver remembers of its own writes is no answer of the store.
            self._fs.invalidate_cache()
            try:
                found = self._fs.info(f"{self._root}/{name}")
            except FileNotFoundError:
                return None
            return found["size"] if found["type"] == "file" else None

    def read(self, name, start=0, end=None):
        with self._words(name):
            # A range from 0 on would be refused for an empty file.
            return self._fs.cat_file(f"{self._root}/{name}", start=start or None, end=end)

    def put(self, name, data, cache):
        path = f"{self._root}/{name}"
        with self._words(name):
            if self._scheme in _PUT:
                self._fs.pipe_file(path, data, **_PUT[self._scheme](cache))
                return
            # Always the same name, so that one a failure left behind is used again.
            folder, _, last = path.rpartition("/")
            part = f"{folder}/.{last}.part"
            self._fs.makedirs(folder, exist_ok=True)
            self._fs.pipe_file(part, data)
            self._fs.mv(part, path)

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


def _install(scheme: str) -> str:
    if scheme in _EXTRAS:
        return f'pip install "micropython-ota-tool[{scheme}]"'
    return "pip install fsspec and the driver that it names for such URLs"
