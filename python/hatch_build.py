"""Puts what `make dist` assembled into the wheel, and tags the wheel with the platforms that the extension runs on.

ONNX Runtime is left out: it comes with the package `onnxruntime`, beside which the extension looks for it.
"""

from __future__ import annotations

import platform
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
EXTENSION = {"darwin": "anomaly0.dylib", "win32": "anomaly0.dll"}.get(sys.platform, "anomaly0.so")
PARTS = [EXTENSION, "model", "licenses"]

sys.path.append(str(ROOT / "scripts"))
from archive import glibc  # noqa: E402


def macos() -> tuple[int, int]:
    """The oldest macOS that this Rust builds for."""
    said = subprocess.run(["rustc", "--print", "deployment-target"], check=True, capture_output=True, text=True).stdout
    major, minor = said.strip().rpartition("=")[2].split(".")[:2]
    return int(major), int(minor)


def platform_tag(library: Path) -> str:
    """The platforms of the wheel, as the package index names them."""
    if sys.platform == "linux":
        major, minor = glibc([library.read_bytes()])
        if (major, minor) == (0, 0):
            sys.exit(f"{library} asks for no version of glibc: it was built against another C library")
        return f"manylinux_{major}_{minor}_{platform.machine()}"
    if sys.platform == "darwin":
        major, minor = macos()
        # A Python may be for two machines and say universal2; the library is for this one.
        return f"macosx_{major}_{minor}_{platform.machine()}"
    return sysconfig.get_platform().replace("-", "_")


def files(part: Path) -> list[Path]:
    """The file, or those of the folder; the notices of ONNX Runtime come with its own package."""
    found = sorted(part.rglob("*")) if part.is_dir() else [part]
    return [file for file in found if file.is_file() and not file.name.startswith("onnxruntime-")]


class AnomalyBuildHook(BuildHookInterface[Any]):
    """The wheel's build hook."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Adds the parts and the tag."""
        for part in PARTS:
            if not (DIST / part).exists():
                sys.exit(f"{DIST / part} is missing: run make dist")
            for file in files(DIST / part):
                build_data["force_include"][str(file)] = f"sqlite_anomaly/{file.relative_to(DIST).as_posix()}"
        for query in sorted((ROOT / "sql" / "queries").glob("*.sql")):
            build_data["force_include"][str(query)] = f"sqlite_anomaly/queries/{query.name}"
        build_data["pure_python"] = False
        # No part of it knows the Python that loads it.
        build_data["tag"] = f"py3-none-{platform_tag(DIST / EXTENSION)}"
