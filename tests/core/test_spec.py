from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from tests.specs import BAD, DIGEST, PEM, REPOSITORIES, Bad, full, good

from podpin.core.spec import Problem, Spec, SpecInvalid, parse_spec, problem_of


def test_what_is_left_out_takes_its_default() -> None:
    spec = parse_spec(good())
    assert spec.registry.interval == timedelta(minutes=5)
    assert spec.registry.pull_secrets == ()
    assert spec.registry.ca_secret is None
    assert spec.images[0].verify == ()
    assert spec.suspend is False
    assert spec.rollout.progress_deadline == timedelta(minutes=10)
    assert spec.rollout.bake_time == timedelta(seconds=30)
    assert spec.rollback.enabled is True
    assert spec.workload.strategy is None
    assert spec.workload.min_ready_seconds == 0
    assert spec.workload.selector is None


def test_an_autoscaler_may_own_replicas() -> None:
    raw = good()
    del raw["workload"]["replicas"]
    assert parse_spec(raw).workload.replicas is None


def test_reads_every_field() -> None:
    spec = parse_spec(full())
    app, proxy, setup = spec.images
    assert app.policy.semver is not None
    assert app.policy.semver.range == ">=1.4 <2"
    assert proxy.repository == "envoy"
    assert proxy.policy.tag is not None
    assert proxy.policy.tag.name == "v1.30"
    by_secret, by_key, by_identity = proxy.verify
    assert by_secret.cosign is not None
    assert (by_secret.cosign.public_key_secret, by_secret.subject) == ("envoy-cosign", "index")
    assert by_key.cosign is not None
    assert by_key.cosign.public_key == f"{PEM}\n{PEM}"
    assert by_key.subject == "platform"
    assert by_identity.sigstore is not None
    assert by_identity.sigstore.identity == "https://git.example.com/envoy@refs/tags/*"
    assert setup.policy.digest is not None
    assert setup.policy.digest.value == DIGEST
    assert [secret.name for secret in spec.registry.pull_secrets] == ["a", "b.c"]
    assert spec.registry.ca_secret is not None
    assert spec.registry.ca_secret.name == "ca"
    assert spec.registry.interval == timedelta(seconds=90)
    assert spec.suspend is True
    assert spec.rollout.progress_deadline == timedelta(hours=1)
    assert spec.rollout.bake_time == timedelta(milliseconds=500)
    assert spec.rollback.enabled is False
    assert spec.workload.min_ready_seconds == 5
    assert spec.workload.selector is not None
    assert spec.workload.selector.match_labels == {"app": "web"}


def test_template_and_strategy_stay_as_the_user_wrote_them() -> None:
    raw = full()
    spec = parse_spec(raw)
    assert spec.workload.template == full()["workload"]["template"]
    assert spec.workload.strategy == full()["workload"]["strategy"]


def test_unknown_fields_are_dropped_as_the_api_server_drops_them() -> None:
    raw = good() | {"suspended": True}
    assert parse_spec(raw) == parse_spec(good())


def test_the_names_of_python_are_not_those_of_the_resource() -> None:
    raw = good() | {"rollout": {"bake_time": "5m"}}
    assert parse_spec(raw).rollout.bake_time == timedelta(seconds=30)


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_refuses_with_the_place_and_the_same_words_as_the_api_server(bad: Bad) -> None:
    raw = good()
    bad.change(raw)
    with pytest.raises(SpecInvalid) as refusal:
        parse_spec(raw)
    sentence = str(refusal.value)
    assert re.match(rf"{re.escape(bad.at)}( .*)?:? ", sentence), sentence
    assert (bad.operator or bad.says) in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize("repository", REPOSITORIES)
def test_takes_every_way_to_write_a_repository(repository: str) -> None:
    raw = good()
    raw["images"][0]["repository"] = repository
    assert parse_spec(raw).images[0].repository == repository


def parsed(change: dict[str, Any], images: list[dict[str, Any]] | None = None) -> Spec:
    raw = good()
    raw["workload"]["template"]["spec"] = {"containers": [{"name": "app"}], **change}
    if images is not None:
        raw["images"] = images
    return parse_spec(raw)


def image(**fields: Any) -> dict[str, Any]:
    return {"container": "app", "repository": "shop/web", "policy": {"tag": {"name": "1"}}, **fields}


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        pytest.param(parse_spec(good()), None, id="nothing is wrong"),
        pytest.param(
            parsed({"initContainers": [{"name": "setup"}]}, [image(), image(container="setup")]),
            None,
            id="an init container counts",
        ),
        pytest.param(
            parsed({"containers": [{"name": "app"}, {"name": "proxy", "image": f"envoy@{DIGEST}"}]}),
            None,
            id="a container that podpin does not manage has an exact image",
        ),
        pytest.param(
            parsed({"containers": [{"name": "web"}, {"name": "proxy"}]}),
            Problem(
                "ContainerNotFound",
                "spec.images names the container 'app', which the template does not have; it has proxy, web",
            ),
            id="a container that the template lacks",
        ),
        pytest.param(
            parsed({"containers": [{"name": "app"}, {"name": "proxy"}]}),
            Problem(
                "ImageMissing",
                "container 'proxy' has no image: write one in the template, or add the container to spec.images",
            ),
            id="a container without an image",
        ),
        pytest.param(
            parsed({"containers": [{"name": "app"}, {"name": "proxy", "image": "envoy:1.2"}]}),
            Problem(
                "ImageNotPinned",
                "container 'proxy' has the image 'envoy:1.2' without a digest: add the container to spec.images, "
                "or write its image with @sha256:",
            ),
            id="a container with a bare tag",
        ),
    ],
)
def test_finds_what_only_the_operator_can_see(spec: Spec, problem: Problem | None) -> None:
    assert problem_of(spec) == problem


def test_a_repository_that_the_schema_lets_pass_and_the_grammar_does_not() -> None:
    found = problem_of(parsed({}, [image(repository="a" * 64)]))
    assert found is not None
    assert found.reason == "InvalidRepository"
    assert "'app'" in found.message


def test_a_range_that_does_not_parse() -> None:
    found = problem_of(parsed({}, [image(policy={"semver": {"range": "newest please"}})]))
    assert found is not None
    assert found.reason == "InvalidPolicy"
    assert "'app'" in found.message
    assert "newest please" in found.message


def test_an_image_of_the_template_that_is_no_image_name() -> None:
    found = problem_of(parsed({"containers": [{"name": "app"}, {"name": "proxy", "image": f"envoy@{DIGEST[:-1]}"}]}))
    assert found is not None
    assert found.reason == "InvalidImage"
    assert "'proxy'" in found.message
