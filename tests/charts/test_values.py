"""The chart's values: what each does, and that none is taken which does nothing."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import pytest
import yaml
from tests.charts.rendering import CHART, DIGEST, IMAGE, REPOSITORY, charted, helm, one
from tests.cluster.errors import ClusterError
from tests.manifests.installed import CRD

from podpin import __version__
from podpin.settings import parse_settings

Json = dict[str, Any]

# No cluster is needed, but Helm is, which is built with the cluster's programs.
needs_helm = [pytest.mark.cluster, pytest.mark.timeout(900)]
pytestmark = needs_helm


def pod(**values: Any) -> Json:
    """The Pod that the chart makes of these values."""
    template: Json = one(charted(values), "Deployment")["spec"]["template"]
    return {**template["spec"], "metadata": template["metadata"]}


def environment(**values: Any) -> dict[str, str]:
    return {each["name"]: each.get("value", "podpin-x") for each in pod(**values)["containers"][0]["env"]}


def test_helm_has_nothing_to_say_against_the_chart() -> None:
    said = helm("lint", "--strict", CHART, values=IMAGE)
    assert "1 chart(s) linted, 0 chart(s) failed" in said
    assert not re.search(r"\[(WARNING|ERROR)\]", said), said


def test_the_chart_is_of_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)


def test_the_chart_has_the_definition_that_is_generated() -> None:
    assert (CHART / "files" / CRD.name).read_text() == CRD.read_text()


def test_helm_leaves_the_definition_when_it_uninstalls_and_renews_it_when_it_upgrades() -> None:
    """It upgrades what is a template, and never what is in a chart's folder crds/."""
    definition = one(charted(), "CustomResourceDefinition", "imagerollouts.podpin.dev")
    assert definition["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert not (CHART / "crds").exists()


REFUSED: Final[dict[str, tuple[Json, str]]] = {
    "no image": ({}, "image.repository is empty: say where your cluster finds podpin's image"),
    "an image without a digest": ({"image": {"repository": REPOSITORY, "tag": "0.1.0"}}, "image.digest is empty"),
    "half a digest": ({"image": {"repository": REPOSITORY, "digest": "sha256:0123"}}, "/image/digest"),
    "a tag in the repository": ({"image": {"repository": f"{REPOSITORY}:1", "digest": DIGEST}}, "/image/repository"),
    "a value that is none": ({**IMAGE, "replicaCount": 2}, "replicaCount"),
    "a value within one that is none": ({**IMAGE, "hooks": {"enable": True}}, "enable"),
    "a namespace with a comma": ({**IMAGE, "namespaces": ["shop,blog"]}, "/namespaces/0"),
    "a registry with a scheme": ({**IMAGE, "registries": {"insecure": ["http://lab"]}}, "/registries/insecure/0"),
    "a cloud that is none": ({**IMAGE, "registries": {"cloudCredentials": ["acme"]}}, "/registries/cloudCredentials"),
    "a time without its unit": ({**IMAGE, "registries": {"minInterval": "10"}}, "/registries/minInterval"),
    "root": ({**IMAGE, "runAs": {"user": 0}}, "/runAs/user"),
}


@pytest.mark.parametrize(("values", "why"), REFUSED.values(), ids=REFUSED)
def test_is_refused(values: Json, why: str) -> None:
    with pytest.raises(ClusterError) as refused:
        helm("template", "podpin", CHART, values=values)
    assert why in str(refused.value).replace("'", "").replace(".", "/") or why in str(refused.value)


def test_the_image_is_named_by_digest_and_by_its_tag_for_people() -> None:
    assert pod()["containers"][0]["image"] == f"{REPOSITORY}@{DIGEST}"
    tagged = pod(image={"tag": "0.1.0"})
    assert tagged["containers"][0]["image"] == f"{REPOSITORY}:0.1.0@{DIGEST}"


def test_settings_arrive_as_podpin_understands_them() -> None:
    given = environment(
        namespaces=["shop", "blog"],
        registries={
            "insecure": ["registry.lab:5000"],
            "mirrors": ["docker.io=mirror.lab/hub", "ghcr.io=mirror.lab/ghcr+tags"],
            "trustedRealms": ["registry.example.com=gitlab.example.com"],
            "reachableHosts": ["127.0.0.1:5000", "[::1]:5000"],
            "privateRanges": "deny",
            "cloudCredentials": ["aws", "gcp=europe-docker.pkg.dev/shop"],
            "minInterval": "1m30s",
        },
        sigstore={"trustedRoot": {"configMap": "sigstore"}},
        ha={"enabled": True},
        hooks={"enabled": True},
        log={"level": "debug"},
        workers=1000000,
    )
    settings, usual = parse_settings(["run"], given), parse_settings(["run"], {})
    assert settings.namespaces == ("shop", "blog")
    assert settings.reachable_hosts == {"127.0.0.1:5000", "[::1]:5000"}
    assert settings.workers == 1000000
    assert str(settings.sigstore_trusted_root) == "/etc/podpin/sigstore/trusted_root.json"
    elsewhere = {"kubeconfig", "context", "health_address", "lease", "selector"}  # of a share each: by kustomize
    same = {name for name in usual.__slots__ if getattr(settings, name) == getattr(usual, name)}
    assert same == elsewhere, "a setting that the chart cannot give"


def test_what_is_left_empty_is_left_to_podpin() -> None:
    assert environment() == {"PODPIN_LOG_FORMAT": "json", "PODPIN_METRICS_ADDRESS": "0.0.0.0:8081"}


def test_authorities_of_ones_own_are_mounted_and_taken_for_all_registries() -> None:
    made = pod(registries={"ca": {"configMap": "authorities", "key": "all.crt"}})
    (mount,), (volume,) = made["containers"][0]["volumeMounts"], made["volumes"]
    given = {each["name"]: each["value"] for each in made["containers"][0]["env"]}
    assert given["SSL_CERT_FILE"] == f"{mount['mountPath']}/all.crt"
    assert volume == {"name": mount["name"], "configMap": {"name": "authorities"}}


def test_where_the_pod_runs_and_with_what_is_said_by_values() -> None:
    tolerations = [{"key": "infra", "operator": "Exists"}]
    made = pod(
        priorityClassName="system-cluster-critical",
        nodeSelector={"pool": "infra"},
        tolerations=tolerations,
        image={"pullSecrets": ["lab"]},
        resources={"limits": {"memory": "1Gi"}},
        pod={"labels": {"team": "platform"}, "annotations": {"seen": "yes"}},
        runAs={"user": None, "group": None},
    )
    assert made["priorityClassName"] == "system-cluster-critical"
    assert made["nodeSelector"] == {"kubernetes.io/os": "linux", "pool": "infra"}
    assert made["tolerations"] == tolerations
    assert made["imagePullSecrets"] == [{"name": "lab"}]
    assert made["containers"][0]["resources"]["limits"] == {"memory": "1Gi"}
    assert made["metadata"]["labels"]["team"] == "platform"
    assert made["metadata"]["annotations"]["seen"] == "yes"
    assert made["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def test_large_ids_are_written_out() -> None:
    assert pod(runAs={"user": 1000650000})["securityContext"]["runAsUser"] == 1000650000


def test_a_second_release_for_other_namespaces_has_nothing_in_common_with_the_first() -> None:
    apart = {"crds": {"install": False}, "users": {"create": False}}

    def names(namespace: str, **values: Any) -> set[tuple[str, str, str]]:
        found = charted(values, namespace)
        return {(each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"]) for each in found}

    first = names("podpin-shop", namespaces=["shop"])
    second = names("podpin-blog", namespaces=["blog"], **apart)
    assert second
    assert not first & second


def test_a_role_in_the_cloud_is_given_to_podpins_account() -> None:
    given = charted({"serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/podpin"}}})
    annotations = one(given, "ServiceAccount")["metadata"]["annotations"]
    assert annotations == {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/podpin"}


def test_the_network_policy_lets_out_what_is_named() -> None:
    egress = [{"ports": [{"protocol": "TCP", "port": 9090}]}]
    policy = one(charted({"networkPolicy": {"create": True, "ports": [8443], "egress": egress}}), "NetworkPolicy")
    ports = [port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]]
    assert ports == [53, 53, "hooks", 8443, 9090]


def test_every_value_is_explained_and_known_to_the_schema() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())

    def same(here: Json, there: Json, at: str) -> None:
        assert there["additionalProperties"] is False, at
        assert here.keys() == there["properties"].keys() - {"global"}, at
        for name, value in here.items():
            inner = there["properties"][name]
            if "properties" in inner and at + name not in (".affinity", ".resources"):
                same(value, inner, f"{at}{name}.")

    same(values, schema, ".")
