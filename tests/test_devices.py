"""Where the model runs: what can be named, and what this ONNX Runtime cannot serve."""

from __future__ import annotations

import json

import pytest

from conftest import MODELS, connect, error_of, one, status

# The library that `make dist` takes has no other provider than the processor's on Linux.
ABSENT = ["cuda", "cuda:0", "cuda:3", "tensorrt", "migraphx:1", "openvino", "xnnpack"]


@pytest.mark.parametrize("device", ABSENT)
def test_a_device_that_this_runtime_cannot_serve_names_the_providers_it_has(db, device):
    message = error_of(db, "SELECT anomaly_config('device', ?)", device)
    assert f"device '{device}' cannot be used: this ONNX Runtime has no " in message
    assert "it has CPUExecutionProvider" in message
    assert "ORT_DYLIB_PATH" in message
    assert one(db, "SELECT anomaly_config('device')") == "cpu"


def test_a_device_of_the_environment_is_never_silently_replaced(monkeypatch):
    monkeypatch.setenv("TURNSTONE_ANOMALY_DEVICE", "cuda:1")
    connection = connect()
    assert one(connection, "SELECT anomaly_config('device')") == "cuda:1"
    one(connection, "SELECT anomaly_config('model', ?)", str(MODELS / "levels"))
    for sql in ["SELECT anomaly_label('failed')", "SELECT * FROM anomaly_classify_each('[\"failed\"]')"]:
        assert "device 'cuda:1' cannot be used" in error_of(connection, sql)
    one(connection, "SELECT anomaly_config('device', 'cpu')")
    assert one(connection, "SELECT anomaly_label('failed')") == "ERROR"


@pytest.mark.parametrize("device", ["gpu", "CUDA", "cuda:", "cuda:x", "cpu:0", "coreml:1", "", "cuda:1; DROP TABLE x"])
def test_what_is_no_device_is_refused_with_what_is_allowed(db, device):
    message = error_of(db, "SELECT anomaly_config('device', ?)", device)
    assert f"setting 'device' cannot be '{device}'" in message
    assert "'cpu', 'cuda'" in message


def test_status_shows_the_provider_in_use(db, monkeypatch):
    # A thread count of its own: a model that another connection holds would be loaded already.
    one(db, "SELECT anomaly_config('threads', 3)")
    assert status(db)["provider"] is None
    one(db, "SELECT anomaly_label('failed')")
    assert (status(db)["device"], status(db)["provider"]) == ("cpu", "CPUExecutionProvider")
    assert "CPUExecutionProvider" in json.loads(status(db)["providers"])
