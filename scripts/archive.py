"""Packs what dist/ is made of into the archive of this platform: the same files make the same bytes.

Times are those of SOURCE_DATE_EPOCH, else the first that a zip file can hold.
"""

from __future__ import annotations

import argparse
import gzip
import io
import os
import platform
import re
import sys
import tarfile
import time
import zipfile
from pathlib import Path

from checksums import write_checksums
from dist import NAMES, ROOT
from version import version

SYSTEMS = {"Linux": "linux", "Darwin": "macos", "Windows": "windows"}
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
FIRST_ZIP_TIME = 315532800
# More costs twice the time and saves 50 kB of 30 MB.
LEVEL = 6
README = """\
# sqlite-anomaly {version} for {platform}

An SQLite extension that finds anomalies in logs: a Hugging Face text-classification model inside SQL. In a host that
can load extensions (the sqlite3 shell, for one), started in this folder:

```sql
.load ./anomaly0
SELECT anomaly_config('model', 'bundled');
SELECT anomaly_classify('Failed password for root from 203.0.113.9 port 22 ssh2');
```

In Python: `connection.enable_load_extension(True)`, then `connection.load_extension("./anomaly0")`.

`{extension}`, `{runtime}` (ONNX Runtime) and `model/` belong together: keep them in one folder, wherever
that is. SQLite must be 3.34.1 or newer.{needs}

`sql/` has ready queries and scripts, such as `.read sql/queries/latest-criticals.sql`; `sql/README.md` lists them.

`licenses/` holds the licences: the extension is MIT or Apache-2.0, as you like.
"""
NEEDS = {
    "Linux": " The C library must be glibc {glibc} or newer.",
    "Darwin": " macOS must be 14 or newer.",
    "Windows": " The Visual C++ runtime must be installed.",
}


def platform_name() -> str:
    """This platform as the archives name it."""
    machine = platform.machine().lower()
    return f"{SYSTEMS[platform.system()]}-{MACHINES.get(machine, machine)}"


def glibc(libraries: list[bytes]) -> tuple[int, int]:
    """The oldest glibc that has every symbol these libraries ask for; (0, 0) where they ask for none."""
    asked = [found for library in libraries for found in re.findall(rb"\0GLIBC_(\d+)\.(\d+)", library)]
    return max(((int(major), int(minor)) for major, minor in asked), default=(0, 0))


def contents(dist: Path) -> dict[str, bytes]:
    """The files of the archive by their names in it."""
    _, extension, runtime = NAMES[platform.system()]
    folders = [path for folder in ("model", "licenses", "sql") for path in (dist / folder).rglob("*") if path.is_file()]
    files = {
        path.relative_to(dist).as_posix(): path.read_bytes() for path in [dist / extension, dist / runtime, *folders]
    }
    major, minor = glibc([files[extension], files[runtime]])
    readme = README.format(
        version=version(),
        platform=platform_name(),
        extension=extension,
        runtime=runtime,
        needs=NEEDS[platform.system()].format(glibc=f"{major}.{minor}"),
    )
    return dict(sorted((files | {"README.md": readme.encode()}).items()))


def tar_gz(files: dict[str, bytes], moment: int) -> bytes:
    """A compressed tar archive that holds no trace of who made it."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", compresslevel=LEVEL, fileobj=packed, mtime=moment) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.mode = len(content), moment, 0o644
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def zipped(files: dict[str, bytes], moment: int) -> bytes:
    """The same as a zip archive, which Windows opens by itself."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, time.gmtime(moment)[:6])
            entry.compress_type, entry.create_system, entry.external_attr = zipfile.ZIP_DEFLATED, 3, 0o100644 << 16
            archive.writestr(entry, content)
    return packed.getvalue()


def pack(dist: Path, into: Path, suffix: str) -> Path:
    """Writes the archive and takes away those that an earlier version left."""
    moment = int(os.environ.get("SOURCE_DATE_EPOCH", FIRST_ZIP_TIME))
    top = f"sqlite-anomaly-{version()}-{platform_name()}"
    files = {f"{top}/{name}": content for name, content in contents(dist).items()}
    into.mkdir(parents=True, exist_ok=True)
    for stale in into.glob(f"sqlite-anomaly-*-{platform_name()}{suffix}"):
        stale.unlink()
    path = into / f"{top}{suffix}"
    path.write_bytes((zipped if suffix == ".zip" else tar_gz)(files, moment))
    return path


def refuse_newer_glibc(dist: Path, most: str) -> None:
    """Ends the program where the extension would not load on the oldest Linux that it is promised for."""
    _, extension, _ = NAMES["Linux"]
    needed, allowed = glibc([(dist / extension).read_bytes()]), tuple(map(int, most.split(".")))
    if needed > allowed:
        sys.exit(f"{extension} needs glibc {needed[0]}.{needed[1]}, where {most} is to do: build it on an older Linux")


def main() -> None:
    """Reads the command line, packs, and writes the sums of all release files anew."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dist", type=Path, default=ROOT / "dist", help="what is packed")
    parser.add_argument("--into", type=Path, help="where the archive goes (where --dist is)")
    parser.add_argument("--suffix", choices=(".tar.gz", ".zip"), default=".zip" if os.name == "nt" else ".tar.gz")
    parser.add_argument("--glibc", help="the newest glibc that the extension may need, such as 2.28")
    options = parser.parse_args()
    into = options.into or options.dist
    if options.glibc:
        refuse_newer_glibc(options.dist, options.glibc)
    path = pack(options.dist, into, options.suffix)
    write_checksums(into)
    print(f"{into.name}/{path.name} is ready, {path.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
