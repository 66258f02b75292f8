"""What `podpin check` says of what is around a spec is what a real API server says of it, and that takes what `podpin
init` writes. The table of bad specs is compared in `test_schema.py`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.cluster.errors import ClusterError
from tests.core.test_flaws import ENVELOPES, UNKNOWN, manifest
from tests.core.test_proposal import WRITTEN, live, workload
from tests.specs import full, good

from podpin.core.flaws import flaws_of
from podpin.core.kinds import KINDS
from podpin.core.proposal import Wishes, propose

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cluster.kubectl import Kubectl
    from tests.cluster.local import LocalCluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]

CRD = Path(__file__).parent.parent.parent / "crds" / "imagerollouts.podpin.dev.yaml"


@pytest.fixture(scope="module")
def kubectl(control_plane: LocalCluster) -> Kubectl:
    control_plane.apply(CRD, "--server-side")
    control_plane.kubectl.serve("imagerollouts", "podpin.dev")
    control_plane.kubectl("create", "namespace", "shop")
    return control_plane.kubectl


def refusal(kubectl: Kubectl, body: dict[str, Any]) -> str:
    with pytest.raises(ClusterError) as refused:
        kubectl.apply(body, "--dry-run=server")
    return str(refused.value)


@pytest.mark.parametrize("change", [row[1] for row in UNKNOWN], ids=[row[0] for row in UNKNOWN])
def test_an_unknown_field_is_one_to_the_api_server_too(kubectl: Kubectl, change: Callable[[Any], object]) -> None:
    spec = good()
    change(spec)
    [flaw] = flaws_of(manifest(spec))
    assert flaw.message.partition(";")[0] in refusal(kubectl, manifest(spec))


STRICTER = (
    "another version",
    "no metadata",
    "no name",
    "a namespace with a slash",
    "a label that is a number",
    "labels that are a list",
)
"""Of these kubectl has words of its own, before it asks the API server."""


@pytest.mark.parametrize(
    "change",
    [row[1] for row in ENVELOPES if row[0] not in STRICTER],
    ids=[row[0] for row in ENVELOPES if row[0] not in STRICTER],
)
def test_what_is_around_the_spec_is_refused_in_the_same_words(kubectl: Kubectl, change: dict[str, Any]) -> None:
    body = manifest(good()) | change
    [flaw] = flaws_of(body)
    assert flaw.message.partition(";")[0] in refusal(kubectl, body)


@pytest.mark.parametrize("change", [row[1] for row in ENVELOPES if row[0] in STRICTER], ids=STRICTER)
def test_what_kubectl_refuses_by_itself_is_refused(kubectl: Kubectl, change: dict[str, Any]) -> None:
    assert refusal(kubectl, manifest(good()) | change)


def test_what_is_let_pass_is_taken(kubectl: Kubectl) -> None:
    for spec in (good(), full()):
        assert flaws_of(manifest(spec)) == []
        kubectl.apply(manifest(spec), "--dry-run=server")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("adopt", [True, False], ids=["adopting", "of its own"])
def test_what_init_writes_is_taken(kubectl: Kubectl, kind: str, adopt: bool) -> None:
    text = propose(workload(kind, live(WRITTEN)), Wishes(adopt=adopt))
    kubectl.apply(yaml.safe_load(text), "--dry-run=server")
