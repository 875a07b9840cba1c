"""The text of a file: unpacked where it is compressed, decoded as its first bytes say, refused where it is no text."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import re
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from sqlite_anomaly._identity import lasting_identity
from sqlite_anomaly.errors import SqliteAnomalyError

STANDARD_INPUT = Path("-")
# What is looked at to tell what a file is, and what of standard input is kept in memory.
HEAD = 8192
IN_MEMORY = 2**24
# By how a file begins, for a name may say anything.
UNPACKED: dict[bytes, Callable[[Any], Any]] = {
    rb"\x1f\x8b\x08": gzip.open,
    rb"\xfd7zXZ\x00": lzma.open,
    rb"BZh[1-9](1AY&SY|\x17rE8P\x90)": bz2.open,
}
# What else a log may be in, and what makes text of it.
OTHERS = {
    rb".{257}ustar": ("a tar archive", "tar -xOf"),
    rb"PK\x03\x04": ("a zip archive", "unzip -p"),
    rb"\x28\xb5\x2f\xfd": ("compressed with zstd", "zstd -dc"),
    rb"\x04\x22\x4d\x18": ("compressed with lz4", "lz4 -dc"),
    rb"LPKSHHRH": ("a journal of systemd", "journalctl -o short-iso --file"),
}


class NotText(SqliteAnomalyError):
    """What has no lines to import."""


@contextmanager
def open_twice(path: Path) -> Iterator[tuple[IO[bytes], str]]:
    """A file that can be read from its beginning again, and its identity, which a pipe has for this one time."""
    is_standard_input = path == STANDARD_INPUT
    with open(0 if is_standard_input else path, "rb", closefd=not is_standard_input) as file:
        identity = None if is_standard_input else lasting_identity(file.fileno())
        if identity:
            yield file, identity
            return
        with tempfile.SpooledTemporaryFile(IN_MEMORY) as copy:
            shutil.copyfileobj(file, copy)
            yield copy, uuid4().hex


def lines(file: IO[bytes], path: Path) -> Iterator[str]:
    """The lines of a file, each with its end; only the character \\n is one."""
    head = _head(file)
    try:
        for beginning, unpack in UNPACKED.items():
            if re.match(beginning, head):
                file = unpack(file)
                head = _head(file)
                break
        encoding = "utf-16" if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
        _refuse_what_is_no_text(path, head, encoding)
        yield from io.TextIOWrapper(file, encoding, errors="replace", newline="\n")
    except (EOFError, zlib.error, lzma.LZMAError, OSError) as error:
        # What the system has to say bears a number.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise NotText(
            f"{path} cannot be decompressed ({error}): fetch it anew, for it is damaged or cut short"
        ) from error


def _head(file: IO[bytes]) -> bytes:
    file.seek(0)
    head = file.read(HEAD)
    file.seek(0)
    return head


def _refuse_what_is_no_text(path: Path, head: bytes, encoding: str) -> None:
    for beginning, (what, command) in OTHERS.items():
        if re.match(beginning, head, re.DOTALL):
            raise NotText(f"{path} is {what}: {command} {path} | sqlite-anomaly import DB - imports what is in it")
    if "\0" in head.decode(encoding, "replace"):
        raise NotText(
            f"{path} is no text, for it holds NUL bytes: import what makes text of it, COMMAND | sqlite-anomaly import "
            f"DB - (iconv -f UTF-16LE -t UTF-8 {path} of UTF-16 without its mark; tr -d '\\0' < {path} of a log that "
            "was emptied while a program wrote to it)"
        )
