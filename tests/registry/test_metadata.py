"""No rollout and no registry makes podpin send a packet to a metadata service: somebody listens there, and counts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from tests.registry.metadata import CASES, CONTROLS

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def observed() -> dict[str, Any]:
    if os.geteuid() != 0:
        pytest.skip("Making a network namespace needs root.")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(("operator", ".")), "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        ["unshare", "--net", "--mount", "--propagation", "private", sys.executable, "-m", "tests.registry.metadata"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize("name", CONTROLS)
def test_the_listener_would_notice(observed: dict[str, Any], name: str) -> None:
    assert observed[name]["flaw"] is None
    assert observed[name]["packets"] > 0
    assert observed[name]["connections"] > 0


@pytest.mark.parametrize("name", CASES)
def test_no_packet_leaves_when(observed: dict[str, Any], name: str) -> None:
    assert observed[name] == {"packets": 0, "connections": 0, "flaw": None}
