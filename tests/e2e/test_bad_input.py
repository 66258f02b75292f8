"""What podpin says to input that the schema lets pass and that cannot work: one sentence, and no loop.

What the schema refuses at `kubectl apply` is in tests/apiserver.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest
from tests import confidential
from tests.cluster.errors import ClusterError
from tests.e2e.gate import PODPIN
from tests.e2e.stage import container_of, stays

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.stage import Stage
    from tests.e2e.world import Json

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Row:
    """Something wrong with the spec or with what it names, and what the user reads.

    `stalled` is where podpin waits for a changed spec.
    """

    shows: str
    reason: str
    words: str
    change: Callable[[Stage, Json], None]
    stalled: bool = False


def image_of(rollout: Json) -> Json:
    image: Json = rollout["spec"]["images"][0]
    return image


def unknown_container(stage: Stage, rollout: Json) -> None:
    image_of(rollout)["container"] = "ap"


def bad_range(stage: Stage, rollout: Json) -> None:
    image_of(rollout)["policy"] = {"semver": {"range": ">=1.0 <"}}


def bad_pattern(stage: Stage, rollout: Json) -> None:
    image_of(rollout)["tags"] = {"include": "^v(?=1)"}


def unpinned_sidecar(stage: Stage, rollout: Json) -> None:
    rollout["spec"]["workload"]["template"]["spec"]["containers"].append({"name": "proxy", "image": "envoy:1"})


def deep_typo(stage: Stage, rollout: Json) -> None:
    container_of(rollout)["readinessProbe"]["httpGet"]["prot"] = 8080


def bad_value(stage: Stage, rollout: Json) -> None:
    container_of(rollout)["resources"] = {"limits": {"memory": "lots"}}


def no_repository(stage: Stage, rollout: Json) -> None:
    image_of(rollout)["repository"] += "-gone"


def no_tag(stage: Stage, rollout: Json) -> None:
    image_of(rollout)["policy"] = {"tag": {"name": "2.0.0"}}


def no_match(stage: Stage, rollout: Json) -> None:
    image_of(rollout)["policy"] = {"semver": {"range": ">=7"}}


def no_secret(stage: Stage, rollout: Json) -> None:
    rollout["spec"]["registry"]["pullSecrets"] = [{"name": "registry"}]


def wrong_secret(stage: Stage, rollout: Json) -> None:
    no_secret(stage, rollout)
    stage.kubectl("create", "secret", "generic", "registry", "--from-literal=password=x")


def no_ca(stage: Stage, rollout: Json) -> None:
    stage.need("private-registry")
    image_of(rollout)["repository"] = f"{stage.cluster.private_registry.address}/{stage.repository}"


def wrong_password(stage: Stage, rollout: Json) -> None:
    no_ca(stage, rollout)
    registry = stage.cluster.private_registry
    stage.apply([registry.ca_secret("ca", stage.namespace)])
    # fmt: off
    stage.kubectl("create", "secret", "docker-registry", "registry", f"--docker-server={registry.address}",
                  "--docker-username=podpin", f"--docker-password={confidential.GUESS}")
    # fmt: on
    rollout["spec"]["registry"] |= {"caSecret": {"name": "ca"}, "pullSecrets": [{"name": "registry"}]}


def plain_http(stage: Stage, rollout: Json) -> None:
    image_of(rollout)["repository"] = f"127.0.0.1:1/{stage.repository}"


def answers_html(stage: Stage, rollout: Json) -> None:
    gate = stage.gate()
    gate.turn_away(PODPIN, 200, b"<!doctype html><title>Sign in</title>", Content_Type="text/html")
    image_of(rollout)["repository"] = f"{gate.address}/{stage.repository}"


def another_digest(stage: Stage, rollout: Json) -> None:
    gate = stage.gate()
    gate.turn_away(PODPIN, 200, MANIFEST, Content_Type=MANIFEST_TYPE, Docker_Content_Digest=f"sha256:{'0' * 64}")
    image_of(rollout).update(repository=f"{gate.address}/{stage.repository}", policy={"tag": {"name": "1.0.0"}})


def endless(stage: Stage, rollout: Json) -> None:
    gate = stage.gate()
    gate.drown(PODPIN, 10 * 1000**3)
    image_of(rollout)["repository"] = f"{gate.address}/{stage.repository}"


def silent(stage: Stage, rollout: Json) -> None:
    gate = stage.gate()
    gate.keep_silent(PODPIN)
    image_of(rollout)["repository"] = f"{gate.address}/{stage.repository}"


def answers_later(stage: Stage, rollout: Json) -> None:
    gate = stage.gate()
    gate.turn_away(PODPIN, 429, b"{}", Retry_After="3600")
    image_of(rollout)["repository"] = f"{gate.address}/{stage.repository}"


MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
MANIFEST: Final = json.dumps(
    {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": {"digest": f"sha256:{'1' * 64}"}, "layers": []}
).encode()

ROWS: Final = [
    Row("a container that the template lacks", "ContainerNotFound",
        "names the container 'ap', which the template does not have; it has app", unknown_container, stalled=True),
    Row("a range that does not parse", "InvalidPolicy", ">=1.0 <", bad_range, stalled=True),
    Row("a pattern that does not parse", "InvalidPolicy",
        'tags.include "^v(?=1)" is no regular expression in RE2\'s syntax', bad_pattern, stalled=True),
    Row("a container that nobody pins", "ImageNotPinned", "without a digest", unpinned_sidecar, stalled=True),
    Row("a typo deep in the template", "WorkloadRefused", "prot", deep_typo, stalled=True),
    Row("a value that Kubernetes refuses", "WorkloadRefused", "quantities must match", bad_value, stalled=True),
    Row("a repository that does not exist", "RepositoryNotFound", "-gone", no_repository),
    Row("a tag that does not exist", "TagNotFound", "2.0.0", no_tag),
    Row("no version in the range", "NoMatchingTag", ">=7", no_match),
    Row("a Secret that is missing", "SecretMissing", "Secret registry does not exist", no_secret),
    Row("a Secret of another type", "SecretInvalid", "type Opaque", wrong_secret),
    Row("a certificate that nobody trusts", "RegistryUntrusted", "certificate", no_ca),
    Row("a wrong password", "RegistryDenied", "refuses the pull secret's credentials", wrong_password),
    Row("a registry on podpin's own machine", "RegistryRefused", "loopback", plain_http),
    Row("a registry that answers HTML", "RegistryUntrusted", "answers with a web page", answers_html),
    Row("a registry that names another digest", "RegistryUntrusted", f"and not sha256:{'0' * 64} as it says",
        another_digest),
    Row("a registry that answers 10 GB", "RegistryUntrusted", "more than 8,388,608 bytes", endless),
    Row("a registry that says nothing for a minute", "RegistryUnavailable", "did not answer in time", silent),
    Row("a registry that says to come back in an hour", "RegistryUnavailable", "HTTP 429", answers_later),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.shows)
def test_the_user_is_told(stage: Stage, row: Row) -> None:
    stage.push("1.0.0")
    manifest = stage.rollout()
    row.change(stage, manifest)
    stage.apply(manifest)
    ready = stage.until_says(row.reason, row.words)
    assert ready["status"] == "False"
    assert "let-me-in" not in json.dumps(stage.object())
    assert "guess" not in json.dumps(stage.status())
    assert bool(stage.condition("Stalled")) == row.stalled
    assert not stage.pods()
    if stage.cluster.can("audit"):
        wrote = len(stage.writes())
        stays(3, lambda: len(stage.writes()) == wrote, "nothing more is written", every=0.5)
        assert wrote <= 3, "the record, what was refused, and the answer"
    stage.until(lambda: stage.events(row.reason), "the event")
    assert len(stage.events(row.reason)) == 1


@pytest.mark.parametrize("row", [row for row in ROWS if row.change in (deep_typo, no_tag)], ids=lambda row: row.shows)
def test_what_runs_goes_on_and_the_mended_spec_is_taken(stage: Stage, row: Row) -> None:
    stage.push("1.0.0")
    manifest = stage.rollout()
    stage.apply(manifest)
    stage.until_stable("1.0.0")
    serving, broken = stage.serving(), json.loads(json.dumps(manifest))
    row.change(stage, broken)
    stage.apply(broken)
    if row.stalled:
        stage.until_says(row.reason, row.words)
    else:
        stage.until(lambda: stage.condition("Resolved").get("reason") == row.reason, "the user to be told")
    stage.assert_untouched(serving)
    stage.apply(manifest)
    stage.until_stable("1.0.0")
    assert not stage.condition("Stalled")
    stage.assert_untouched(serving)


def test_a_deployment_of_somebody_else_is_never_taken_over(stage: Stage) -> None:
    digest = stage.push("1.0.0")
    image = f"{stage.registry.address}/{stage.repository}@{digest}"
    stage.kubectl("create", "deployment", "web", f"--image={image}")
    before = json.loads(stage.kubectl("get", "deployment", "web", "-o", "json"))
    stage.apply(stage.rollout())
    ready = stage.until_says("WorkloadConflict", "rename the rollout, or delete that Deployment")
    assert ready["status"] == "False"
    assert stage.condition("Stalled")
    after = json.loads(stage.kubectl("get", "deployment", "web", "-o", "json"))
    assert after["spec"] == before["spec"]
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert "ownerReferences" not in after["metadata"]

    stage.kubectl("delete", "deployment", "web")
    stage.until_stable("1.0.0", timeout=120)


def test_a_changed_selector_is_refused_when_it_is_applied(stage: Stage) -> None:
    stage.push("1.0.0")
    stage.apply(stage.rollout(workload={"selector": {"matchLabels": {"app": "web"}}}))
    stage.until_stable("1.0.0")
    with pytest.raises(ClusterError, match="selector cannot be changed"):
        stage.apply(
            stage.rollout(
                workload={
                    "selector": {"matchLabels": {"app": "other"}},
                    "template": {"metadata": {"labels": {"app": "other"}}},
                }
            )
        )


def test_a_rollout_that_is_deleted_in_the_middle_leaves_nothing_behind(stage: Stage) -> None:
    stage.push("1.0.0")
    stage.apply(stage.rollout())
    stage.until_stable("1.0.0")
    stage.push("1.1.0", "unready")
    stage.look()
    stage.until(lambda: stage.pods(stage.release("1.1.0")), "Pods of the candidate")
    stage.kubectl("delete", "imagerollout", "web")

    def nothing() -> bool:
        kinds = ("rollouts", "deployments", "replicasets", "records", "pods")
        return not any(stage.world.now(kind, stage.namespace) for kind in kinds)

    stage.until(nothing, "everything to be collected")
    stays(2, nothing, "nothing is made again")


def test_a_rollout_that_is_deleted_and_made_again_begins_anew(stage: Stage) -> None:
    stage.push("1.0.0")
    manifest = stage.rollout()
    stage.apply(manifest)
    stage.until_stable("1.0.0")
    before = stage.object()["metadata"]["uid"], stage.deployment()["metadata"]["uid"]
    stage.kubectl("replace", "--force", "-f", "-", stdin=json.dumps(manifest))
    stage.until(lambda: stage.object()["metadata"]["uid"] != before[0], "the new rollout")
    stage.until(lambda: stage.deployment()["metadata"]["uid"] != before[1], "its own Deployment")
    stage.until_stable("1.0.0")
    stage.until(lambda: stage.verdicts() == {"1.0.0": "Stable"}, "a verdict of its own")
    owners = [owner["uid"] for owner in stage.deployment()["metadata"]["ownerReferences"]]
    assert owners == [stage.object()["metadata"]["uid"]]
