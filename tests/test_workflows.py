"""The workflows of GitHub Actions say what this repository can do, and may do no more than they must."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTIONS = sorted((ROOT / ".github" / "actions").glob("*/action.yml"))
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
# `make`, its options and settings, and then its targets.
MAKE = re.compile(
    r"(?:^|[($;&|]|\bthen|\bdo)\s*make((?:[ \t]+(?:--?[\w-]+|[A-Z_]+=(?:\"[^\"]*\"|\S+)|[a-z-]+))+)", re.MULTILINE
)


def load(path: Path) -> dict:
    """A workflow; YAML 1.1 takes the word `on` for true."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def jobs() -> Iterator[tuple[str, dict]]:
    """Every job with its name."""
    for path in WORKFLOWS:
        for name, job in load(path)["jobs"].items():
            yield f"{path.stem}/{name}", job


def targets(command: str) -> list[str]:
    """The Makefile's targets that a command asks for."""
    return [word for words in MAKE.findall(command) for word in words.split() if re.fullmatch(r"[a-z][a-z-]*", word)]


def test_targets_are_found_in_a_command():
    assert targets('make release A="--b c" NPM=x') == ["release"]
    assert targets('test "v$(make --silent version)" && make notes > notes.md\nmake check deny') == [
        "version", "notes", "check", "deny",
    ]  # fmt: skip
    assert targets("dnf install -y gcc make git") == []


def test_every_target_that_a_workflow_makes_exists():
    commands = [step.get("run", "") for _, job in jobs() for step in job["steps"]]
    asked = [target for command in commands for target in targets(command)]
    assert {"test", "release", "deny", "test-shipped"} <= set(asked) <= TARGETS


@pytest.mark.parametrize("path", WORKFLOWS + ACTIONS, ids=lambda path: path.stem)
def test_what_others_wrote_is_named_by_its_commit_and_its_version(path):
    for used in re.findall(r"uses: (.*)", path.read_text(encoding="utf-8")):
        if used.startswith("./"):
            assert (ROOT / used / "action.yml").is_file()
        else:
            assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+(\.\d+)*", used)


def test_a_job_may_read_and_only_those_that_publish_may_do_more():
    assert all(load(path)["permissions"] == {"contents": "read"} for path in WORKFLOWS)
    allowed = {name: job["permissions"] for name, job in jobs() if "permissions" in job}
    assert allowed == {
        "release/publish-archives": {"contents": "write"},
        "release/publish-wheels": {"id-token": "write"},
        "release/publish-npm": {"id-token": "write"},
    }
    assert all(dict(jobs())[name]["if"] == "github.ref_type == 'tag'" for name in allowed)


def test_no_workflow_holds_a_secret_and_no_checkout_leaves_one():
    for path in WORKFLOWS:
        assert "secrets." not in path.read_text(encoding="utf-8")
    for name, job in jobs():
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False, name


def test_nothing_is_published_that_was_not_verified():
    wanted = dict(jobs())
    assert all(job["needs"] == "verify" for name, job in wanted.items() if "/publish-" in name)
    built, verified = (wanted[f"release/{name}"]["strategy"]["matrix"]["include"] for name in ("build", "verify"))
    assert [way["platform"] for way in built] == [way["platform"] for way in verified]


def test_known_faults_of_dependencies_are_looked_for_every_week():
    ci = load(ROOT / ".github" / "workflows" / "ci.yml")
    (when,) = ci[True]["schedule"]
    assert re.fullmatch(r"\d+ \d+ \* \* [0-6]", when["cron"])
    (step,) = [step for step in ci["jobs"]["advisories"]["steps"] if "run" in step]
    assert step["run"] == "make deny DENY=advisories"
    assert "github.event_name == 'schedule'" in ci["jobs"]["advisories"]["if"]
