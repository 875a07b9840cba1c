"""What tells a file apart from every other, whatever it is called."""

from __future__ import annotations

import ctypes
import os
import stat
import struct
import sys

# Of Linux: see statx(2). What is read of its answer lies at the same place on every processor.
AT_EMPTY_PATH, STATX_BTIME = 0x1000, 0x800
SIZE_OF_STATX, MASK_AT, BIRTH_AT = 256, 0, 80


def lasting_identity(descriptor: int) -> str | None:
    """What an open file keeps when it is renamed and grows; `None` where there is nothing of the kind, as of a pipe."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or not status.st_ino:
        return None
    # Inode numbers are given again after a deletion; and device numbers, anew at each start of the machine.
    birth = _birth(descriptor)
    return f"{status.st_ino} born {birth}" if birth else f"{status.st_ino} of {status.st_dev}"


def _birth(descriptor: int) -> str | None:
    """When a file was made, where the system tells that."""
    if sys.platform == "win32":
        # Its file numbers are not given again.
        return None
    if sys.platform != "linux":
        birth = getattr(os.fstat(descriptor), "st_birthtime", None)
        return birth and repr(birth)
    answer = ctypes.create_string_buffer(SIZE_OF_STATX)
    try:
        failed = ctypes.CDLL(None).statx(descriptor, b"", AT_EMPTY_PATH, STATX_BTIME, answer)
    except AttributeError:
        # A C library from before it.
        return None
    (mask,) = struct.unpack_from("=I", answer, MASK_AT)
    seconds, nanoseconds = struct.unpack_from("=qI", answer, BIRTH_AT)
    return None if failed or not mask & STATX_BTIME else f"{seconds}.{nanoseconds:09}"
