"""A small zip as a tree of files, such as one of label files; nothing is unpacked to a disk."""

from __future__ import annotations

import posixpath
import zipfile
from functools import cached_property

from sofdata.errors import ConfigError
from sofdata.storage.folder import Folder
from sofdata.storage.remote import Store


def open_zip(path: str, name: str) -> Folder:
    """The files in a local zip; `name` is what errors call it. Raises `ConfigError` for no zip."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [each.filename for each in archive.infolist() if not each.is_dir()]
    except (zipfile.BadZipFile, OSError) as error:
        raise ConfigError(f"{name} is no whole zip ({error}): fetch it again") from None
    folders = [posixpath.dirname(each) for each in names if not each.startswith("__MACOSX/")]
    return _Zip(name, {"path": path, "root": _top(folders)})


def _top(folders: list[str]) -> str:
    """The folder that all lie in, above a last one that is called labels."""
    if not folders or any(each.startswith("/") for each in folders):
        return ""
    top = posixpath.commonpath(folders)
    return posixpath.dirname(top) if posixpath.basename(top) == "labels" else top


class _Zip(Folder):
    """Its url is but a name."""

    @cached_property
    def is_local(self) -> bool:
        return False

    @cached_property
    def _files(self) -> Store:
        import fsspec

        fs = fsspec.filesystem("zip", fo=self.options["path"])
        return Store(self.name, self.options["root"], fs)
