"""Assembles dist/: the extension, the ONNX Runtime library it needs, the bundled model, and the ready SQL.

The folder works wherever it is copied: the extension finds library and model beside itself.
"""

from __future__ import annotations

import argparse
import hashlib
import platform
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from notices import notices

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENT = ROOT / "scripts" / "onnxruntime.txt"
DOWNLOADS = ROOT / "target" / "onnxruntime"
MODEL = ROOT / "models" / "bundled"
SQL = ROOT / "sql"
# What the wheel of any CPython 3.12 holds serves every host; it is not installed, only unpacked.
WHEEL_OF = ["--python-version", "3.12", "--implementation", "cp", "--abi", "cp312", "--only-binary=:all:"]
NOTICES = ["LICENSE", "ThirdPartyNotices.txt"]

# What cargo calls the library, what SQLite users load, and what the extension looks for beside itself.
NAMES = {
    "Linux": ("libanomaly.so", "anomaly0.so", "libonnxruntime.so"),
    "Darwin": ("libanomaly.dylib", "anomaly0.dylib", "libonnxruntime.dylib"),
    "Windows": ("anomaly.dll", "anomaly0.dll", "onnxruntime.dll"),
}


def wheel() -> Path:
    """Downloads the pinned wheel of this platform, unless it is there; pip checks its SHA-256 either way."""
    pinned = hashlib.sha256(REQUIREMENT.read_bytes()).hexdigest()[:12]
    folder = DOWNLOADS / pinned
    found = sorted(folder.glob("*.whl"))
    if not found:
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += [*WHEEL_OF, "--require-hashes", "--requirement", str(REQUIREMENT), "--dest", str(folder)]
        if subprocess.run(command, check=False).returncode != 0:
            sys.exit(
                f"pip could not download the ONNX Runtime that {REQUIREMENT.relative_to(ROOT)} pins for "
                f"{platform.system()} {platform.machine()}: see its message above. Without a network, put the "
                f"wheel into {folder} yourself."
            )
        found = sorted(folder.glob("*.whl"))
    return found[0]


def unpack_runtime(dist: Path, name: str) -> None:
    """Takes the library and its licences out of the wheel."""
    with zipfile.ZipFile(wheel()) as archive:
        folder = "onnxruntime/capi/"
        stem = name.split(".", maxsplit=1)[0]
        libraries = [
            entry for entry in archive.namelist() if entry.startswith(f"{folder}{stem}.") and "providers" not in entry
        ]
        if len(libraries) != 1:
            sys.exit(f"{archive.filename} holds {libraries or 'no library'} where one {folder}{stem} was expected")
        write(archive.read(libraries[0]), dist / name)
        for notice in NOTICES:
            write(archive.read(f"onnxruntime/{notice}"), dist / "licenses" / f"onnxruntime-{notice}")


def write(content: bytes, path: Path) -> None:
    """Replaces a file as a whole: a process that has the old one mapped keeps it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.write_bytes(content)
    fresh.replace(path)


def copy_model(dist: Path) -> None:
    """Copies the bundled model."""
    if not (MODEL / "model.onnx").is_file():
        sys.exit(f"{MODEL.relative_to(ROOT)} holds no model.onnx; get it with the repository, or make it: make train")
    copy_folder(MODEL, dist / "model")


def copy_folder(folder: Path, target: Path) -> None:
    """Copies the files of a folder, and leaves nothing that an earlier one left."""
    kept = set()
    for source in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = source.relative_to(folder)
        kept.add(target / name)
        write(source.read_bytes(), target / name)
    for stale in [path for path in target.rglob("*") if path.is_file() and path not in kept]:
        stale.unlink()


def main() -> None:
    """Reads the command line and assembles the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="release", help="the folder under target/ that cargo built into")
    parser.add_argument("--dist", type=Path, default=ROOT / "dist")
    options = parser.parse_args()
    names = NAMES.get(platform.system())
    if names is None:
        sys.exit(f"{platform.system()} is not known to this script: known are {', '.join(NAMES)}")
    built, extension, runtime = names
    unpack_runtime(options.dist, runtime)
    copy_model(options.dist)
    copy_folder(SQL, options.dist / "sql")
    write((ROOT / "target" / options.profile / built).read_bytes(), options.dist / extension)
    for licence in ("LICENSE-MIT", "LICENSE-APACHE"):
        shutil.copy(ROOT / licence, options.dist / "licenses" / licence)
    write(notices().encode(), options.dist / "licenses" / "third-party.txt")
    print(f"{options.dist.name}/ is ready: .load {options.dist.name}/{Path(extension).stem}")


if __name__ == "__main__":
    main()
