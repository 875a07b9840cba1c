"""What the metadata says of this plugin, under `plugins`."""

from __future__ import annotations

import json
from typing import Any

import click
from datasette.utils import StartupError

PLUGIN = "sqlite-anomaly"


class Unavailable(StartupError, click.ClickException):
    """The plugin cannot do its work; Datasette ends with this text rather than with a traceback."""


DEFAULTS: dict[str, Any] = {"model": "bundled", "allow_acknowledge": {"id": "root"}}
KEYS = " and ".join(f"'{key}'" for key in DEFAULTS)
TAKES = {
    "model": "'bundled', a folder or a hub id",
    "allow_acknowledge": 'true, false, or an allow block such as {"id": ["root", "alice"]}',
}


def settings(datasette: Any) -> dict[str, Any]:
    """Each key with what it is here. Raises Unavailable for a key that there is not, and for what a key does not take."""
    given = datasette.plugin_config(PLUGIN)
    if not isinstance(given, dict | None):
        raise _refused(f"its part of the metadata cannot be {json.dumps(given)}", f"it takes an object with {KEYS}")
    for key, value in (given or {}).items():
        if key not in DEFAULTS:
            raise _refused(f"the metadata has '{key}', which is no key of this plugin", f"there are {KEYS}")
        if not (isinstance(value, str) if key == "model" else _is_allow_block(value)):
            raise _refused(f"'{key}' in the metadata cannot be {json.dumps(value)}", f"it takes {TAKES[key]}")
    return DEFAULTS | (given or {})


def _is_allow_block(value: Any) -> bool:
    """Whether Datasette describes such a one. (Of null it makes everybody, which nobody means here.)"""
    if not isinstance(value, dict):
        return isinstance(value, bool)
    return all(_names_actors(key, allowed) for key, allowed in value.items())


def _names_actors(key: str, allowed: Any) -> bool:
    if key == "unauthenticated":
        return isinstance(allowed, bool)
    names = allowed if isinstance(allowed, list) else [allowed]
    return all(isinstance(name, str | int) for name in names)


def _refused(what: str, remedy: str) -> Unavailable:
    return Unavailable(f"{PLUGIN}: {what}: {remedy}")
