"""On what kind of disk a folder lies: SQLite's write-ahead log needs memory that all its readers share."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["is_local", "kind_of"]

_LOCAL = {
    "apfs", "bcachefs", "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "hfs", "jfs", "ntfs", "ntfs3", "overlay",
    "ramfs", "reiserfs", "tmpfs", "ubifs", "vfat", "xfs", "zfs",
}  # fmt: skip
"""File systems of this machine alone. Everything else (nfs, cifs, lustre, fuse, 9p ...) may be shared."""
_MOUNTS = Path("/proc/self/mountinfo")


def is_local(folder: Path) -> bool:
    """Whether only this machine can see a folder; False where that cannot be found out."""
    return kind_of(folder) in _LOCAL


def kind_of(folder: Path, mounts: Path = _MOUNTS) -> str:
    """Linux's name of the file system that holds a folder; ``unknown`` elsewhere.

    Source: proc(5), /proc/[pid]/mountinfo.
    """
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "unknown"
    inside = folder.resolve()
    found, depth = "unknown", -1
    for line in lines:
        before, _, after = line.partition(" - ")
        point = Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), before.split()[4]))  # \040 is a space
        if len(point.parts) >= depth and inside.is_relative_to(point):  # a later mount hides an earlier one
            found, depth = after.split()[0], len(point.parts)
    return found
