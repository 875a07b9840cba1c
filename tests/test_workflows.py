"""The workflows of GitHub Actions say what this repository can do, and may do no more than they must."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatch
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


def commands(job: dict) -> list[str]:
    """What the steps of a job run."""
    return [step["run"] for step in job["steps"] if "run" in step]


def test_targets_are_found_in_a_command():
    assert targets('make release A="--b c" NPM=x') == ["release"]
    assert targets('test "v$(make --silent version)" && make notes > notes.md\nmake check deny') == [
        "version", "notes", "check", "deny",
    ]  # fmt: skip
    assert targets("dnf install -y gcc make git") == []


def test_every_target_that_a_workflow_makes_exists():
    asked = [target for _, job in jobs() for command in commands(job) for target in targets(command)]
    assert {"test", "release", "deny", "test-shipped"} <= set(asked) <= TARGETS


@pytest.mark.parametrize("path", WORKFLOWS + ACTIONS, ids=lambda path: path.stem)
def test_what_others_wrote_is_named_by_its_commit_and_its_version(path):
    for used in re.findall(r"uses: (.*)", path.read_text(encoding="utf-8")):
        if used.startswith("./"):
            assert (ROOT / used / "action.yml").is_file()
        else:
            assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+(\.\d+)*", used)


def test_an_image_is_named_by_its_digest():
    images = [job["container"] for _, job in jobs() if "container" in job]
    assert images and all(re.search(r"[\w.]+:[\w.]+@sha256:[0-9a-f]{64}\b", image) for image in images)


def test_the_job_on_linux_does_what_ci_does_elsewhere():
    elsewhere = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    on_linux = "\n".join(commands(dict(jobs())["ci/linux"]))
    assert set(targets(on_linux)) == set(targets(elsewhere)) >= {"test", "fuzz"}
    (tools,) = ACTIONS
    assert "scripts/test-tools.sh" in commands(load(tools)["runs"])
    assert "scripts/test-tools.sh" in elsewhere.splitlines()


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
    steps = wanted["release/verify"]["steps"]
    assert [step for step in steps if "if" in step or "continue-on-error" in step] == []
    taken = [step["with"]["name"] for step in steps if step.get("uses", "").startswith("actions/download-artifact@")]
    assert taken == ["release-${{ matrix.platform }}", "release-npm"]
    archive, wheel, packages = commands(wanted["release/verify"])
    assert targets(archive) == ["test-shipped"]
    assert "pip install dist/*.whl" in wheel and wheel.endswith("&& sqlite-anomaly doctor")
    assert "npm install ../../dist/*.tgz" in packages and "SELECT anomaly_classify(?)" in packages


def test_a_file_of_a_release_comes_from_one_job():
    steps = dict(jobs())["release/build"]["steps"]
    each, one = [step for step in steps if step.get("uses", "").startswith("actions/upload-artifact@")]
    assert "if" not in each and one["if"] == "matrix.platform == 'linux-x86_64'"
    version = "1.2.3"
    main, of_a_platform = (f"dist/sqlite-anomaly-{name}.tgz" for name in (version, f"linux-x64-{version}"))
    for step, uploaded in ((each, [of_a_platform]), (one, [main])):
        patterns = step["with"]["path"].split()
        assert [name for name in (main, of_a_platform) if any(fnmatch(name, way) for way in patterns)] == uploaded


def test_known_faults_of_dependencies_are_looked_for_every_week():
    ci = load(ROOT / ".github" / "workflows" / "ci.yml")
    (when,) = ci[True]["schedule"]
    assert re.fullmatch(r"\d+ \d+ \* \* [0-6]", when["cron"])
    (step,) = [step for step in ci["jobs"]["advisories"]["steps"] if "run" in step]
    assert step["run"] == "make deny DENY=advisories"
    assert "github.event_name == 'schedule'" in ci["jobs"]["advisories"]["if"]
