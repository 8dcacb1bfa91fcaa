"""The one place of the library's version; host package and manifest.py read it."""

VERSION = "0.2.0"
