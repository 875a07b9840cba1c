"""The licences of the crates that are linked into the extension, as their terms ask to be passed on."""

from __future__ import annotations

import json
import subprocess
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("LICENSE*", "LICENCE*", "COPYING*", "NOTICE*", "UNLICENSE*")


def linked() -> list[dict]:
    """What cargo knows of every crate that ends up in the library, in the order of their names."""
    host = subprocess.check_output(["rustc", "-vV"], text=True).split("host: ", 1)[1].split(maxsplit=1)[0]
    command = ["cargo", "metadata", "--locked", "--format-version=1", "--filter-platform", host]
    known = json.loads(subprocess.check_output(command, cwd=ROOT))
    needs = {node["id"]: [dep["pkg"] for dep in node["deps"] if is_linked(dep)] for node in known["resolve"]["nodes"]}
    found, waiting = set(), [known["resolve"]["root"]]
    while waiting:
        crate = waiting.pop()
        if crate not in found:
            found.add(crate)
            waiting += needs[crate]
    crates = [crate for crate in known["packages"] if crate["id"] in found and crate["source"]]
    return sorted(crates, key=lambda crate: (crate["name"], crate["version"]))


def is_linked(dependency: dict) -> bool:
    """Whether a dependency is one of the library, and not of its build or tests alone."""
    return any(kind["kind"] is None for kind in dependency["dep_kinds"])


def notices() -> str:
    """Every licence text once, under the crates that come with it."""
    crates_of = defaultdict(list)
    for crate in linked():
        folder = Path(crate["manifest_path"]).parent
        files = sorted({path for name in NAMES for path in folder.glob(name) if path.is_file()})
        texts = [path.read_text(encoding="utf-8", errors="replace").strip() for path in files]
        for text in texts or [f"(The crate holds no text of its licence, which is {crate['license']}.)"]:
            crates_of[text].append(f"{crate['name']} {crate['version']} ({crate['license']}, {crate['repository']})")
    rule = "=" * 80
    parts = (f"{rule}\n" + "\n".join(crates) + f"\n{rule}\n\n{text}\n" for text, crates in crates_of.items())
    return "The library anomaly0 contains these crates, under these licences.\n\n" + "\n".join(parts)
