"""One file of a folder of pictures, and how to tell it from another one of the same name."""

from __future__ import annotations

import hashlib
import stat
from dataclasses import dataclass, field, replace
from pathlib import Path

from latentline.vision.picture_header import FILE_LIMIT

_SELF_ENDING = frozenset({".png", ".jpg", ".jpeg", ".jfif"})  # a decoder knows whether these are whole
_ZERO_BLOCK = bytes(4096)
_ZERO_END = bytes(64)


@dataclass(frozen=True)
class FolderPicture:
    """A file as a scan found it. Equal ones are the same state of the same file.

    With another size or time of change, the same name is another picture. Where only inode or time of status differ, as
    after a file system was mounted again, the content decides.

    digest  of the content; None: not known
    """

    name: str
    size: int
    mtime_ns: int
    ctime_ns: int = 0
    inode: int = 0
    digest: str | None = field(default=None, compare=False)

    @classmethod
    def of(cls, path: Path) -> FolderPicture | None:
        """The picture at `path`; None if there is no such file."""
        try:
            found = path.stat()
        except OSError:
            return None
        if not stat.S_ISREG(found.st_mode):
            return None
        return cls(path.name, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)

    def identified(self, path: Path) -> FolderPicture:
        """This picture with the digest of what is at `path`, which is read as a whole. Raises OSError.

        A file that is larger than any picture may be stays without.
        """
        return self if self.size > FILE_LIMIT else replace(self, digest=content_digest(path))

    def may_be(self, other: FolderPicture) -> bool:
        """Whether `other` has the same name, size and time of change."""
        return (self.name, self.size, self.mtime_ns) == (other.name, other.size, other.mtime_ns)


def content_digest(path: Path) -> str:
    """128 bits that stand for the content of a file. Raises OSError."""
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def may_lack_its_pixels(path: Path) -> bool:
    """Whether a file that has its full size may be waiting for its content: it has zeros where pixels belong.

    Some programs set the size first. A decoder cannot tell, except for PNG and JPEG, which have an end. Raises OSError.
    """
    if path.suffix.lower() in _SELF_ENDING or path.stat().st_size > FILE_LIMIT:
        return False
    content = path.read_bytes()
    return content.endswith(_ZERO_END) or _ZERO_BLOCK in content
