"""What must agree between the manifests and podpin, and between one manifest and another; no cluster is needed."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from tests.manifests.installed import ACCOUNT, CRD, MANIFESTS, NAMESPACE, ROOT, Right, granted

from podpin import __version__
from podpin.settings import parse_settings

FOLDERS = ("", "namespaced")
COMPONENTS = ("guard", "ha", "hooks", "network-policy")


def loaded(path: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((MANIFESTS / path).read_text()))


def deployment() -> dict[str, Any]:
    (only,) = loaded("base/deployment.yaml")
    return only


def test_every_file_is_part_of_an_installation_or_an_example() -> None:
    files = {str(path.relative_to(MANIFESTS)) for path in MANIFESTS.rglob("*") if path.is_file()}
    named = {"pin-config.yaml", "kustomization.yaml", "base/kustomization.yaml", "namespaced/kustomization.yaml"}
    for folder in ("", "base/", "namespaced/"):
        (content,) = loaded(f"{folder}kustomization.yaml")
        named |= {folder + resource for resource in content["resources"] if resource.endswith(".yaml")}
    for folder in COMPONENTS:
        (component,) = loaded(f"{folder}/kustomization.yaml")
        parts = [*component["resources"], *(patch["path"] for patch in component.get("patches", ()))]
        named |= {f"{folder}/{file}" for file in ("kustomization.yaml", *parts)}
    # tests/monitoring looks after its folder.
    assert {file for file in files if not file.startswith(("examples/", "monitoring/"))} == named


def test_the_generated_definition_is_what_gets_installed() -> None:
    (content,) = yaml.safe_load_all((CRD.parent / "kustomization.yaml").read_text())
    assert content["resources"] == [CRD.name]


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_image_is_of_this_version(folder: str) -> None:
    (content,) = loaded(f"{folder}/kustomization.yaml".lstrip("/"))
    (image,) = content["images"]
    assert image == {"name": deployment()["spec"]["template"]["spec"]["containers"][0]["image"], "newTag": __version__}


def test_make_image_builds_this_version() -> None:
    assert f"\nIMAGE ?= podpin:{__version__}\n" in (ROOT / "Makefile").read_text()


def test_the_namespaced_rules_are_those_for_the_whole_cluster() -> None:
    everywhere, here = loaded("rbac.yaml")[0], loaded("namespaced/rbac.yaml")[0]
    assert (everywhere["kind"], here["kind"]) == ("ClusterRole", "Role")
    # Nodes belong to no namespace, and podpin does without them.
    assert here["rules"] == [rule for rule in everywhere["rules"] if rule["resources"] != ["nodes"]]


@pytest.mark.parametrize("file", ["rbac.yaml", "namespaced/rbac.yaml"])
def test_the_rights_go_to_the_account_that_the_pod_has(file: str) -> None:
    (subject,) = loaded(file)[1]["subjects"]
    assert f"system:serviceaccount:{subject['namespace']}:{subject['name']}" == ACCOUNT
    assert deployment()["spec"]["template"]["spec"]["serviceAccountName"] == subject["name"]
    assert deployment()["metadata"]["namespace"] == subject["namespace"] == NAMESPACE


def test_no_rule_is_a_wildcard_or_gives_more_than_reading_secrets_by_name() -> None:
    rights = granted(loaded("rbac.yaml")[0]["rules"])
    assert not [right for right in rights if "*" in str(right)]
    assert {right.verb for right in rights if right.resource == "secrets"} == {"get"}
    assert {right.verb for right in rights if right.resource == "imagerollouts"} == {"get", "list", "watch"}


def test_the_rights_to_copy_configuration_are_apart_and_given_to_nobody_by_themselves() -> None:
    (role,) = loaded("pin-config.yaml")
    assert role["kind"] == "ClusterRole"
    wanted = {Right("", resource, verb) for resource in ("configmaps", "secrets") for verb in ("create", "delete")}
    assert granted(role["rules"]) == wanted
    for file in ("rbac.yaml", "namespaced/rbac.yaml"):
        assert not granted(loaded(file)[0]["rules"]) & wanted
    account = ACCOUNT.removeprefix("system:serviceaccount:")
    command = (
        f"kubectl -n shop create rolebinding podpin-pin-config --clusterrole={role['metadata']['name']} "
        f"--serviceaccount={account}"
    )
    for told in (MANIFESTS / "pin-config.yaml", ROOT / "docs" / "pinning.md"):
        assert command in told.read_text()


@pytest.mark.parametrize("file", ["rbac.yaml", "pin-config.yaml"])
def test_every_rule_has_its_reason(file: str) -> None:
    lines = (MANIFESTS / file).read_text().splitlines()
    rules = [number for number, line in enumerate(lines) if line.startswith("- apiGroups:")]
    assert rules
    assert all(lines[number - 1].startswith("# ") for number in rules)


@pytest.mark.parametrize("folder", FOLDERS)
def test_podpin_understands_its_arguments_and_its_environment(folder: str) -> None:
    container = deployment()["spec"]["template"]["spec"]["containers"][0]
    environment = {one["name"]: one["value"] for one in container["env"]}
    if folder:
        (patch,) = loaded("namespaced/kustomization.yaml")[0]["patches"]
        (addition,) = yaml.safe_load(patch["patch"])
        environment[addition["value"]["name"]] = addition["value"]["value"]
    settings = parse_settings(container["args"], environment)
    assert settings.log_format == "json"
    assert settings.namespaces == ((loaded("namespaced/rbac.yaml")[0]["metadata"]["namespace"],) if folder else ())
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert settings.health_address.endswith(f":{ports['health']}")
    assert settings.metrics_address == f"0.0.0.0:{ports['metrics']}"


def test_the_component_for_webhooks_fits_the_deployment_and_what_podpin_understands() -> None:
    (patch,), (service,) = loaded("hooks/deployment.yaml"), loaded("hooks/service.yaml")
    base = deployment()
    assert patch["metadata"].items() <= base["metadata"].items()
    pod, (container,) = patch["spec"]["template"]["spec"], patch["spec"]["template"]["spec"]["containers"]
    assert container["name"] == base["spec"]["template"]["spec"]["containers"][0]["name"]
    settings = parse_settings(["run"], {one["name"]: one["value"] for one in container["env"]})
    (port,), (mount,), (volume,) = container["ports"], container["volumeMounts"], pod["volumes"]
    assert settings.hook_address == f"0.0.0.0:{port['containerPort']}"
    assert str(settings.hook_secrets).startswith(f"{mount['mountPath']}/")
    assert mount["name"] == volume["name"]
    assert port["containerPort"] not in [
        one["containerPort"] for one in base["spec"]["template"]["spec"]["containers"][0]["ports"]
    ]
    assert service["spec"]["selector"].items() <= base["spec"]["template"]["metadata"]["labels"].items()
    assert service["spec"]["ports"][0]["targetPort"] == port["name"]
    document = (ROOT / "docs" / "hooks.md").read_text()
    file = str(settings.hook_secrets).rpartition("/")[2]
    assert f"create secret generic {volume['secret']['secretName']} --from-file={file}\n" in document
    assert f"http://{service['metadata']['name']}.{service['metadata']['namespace']}/hook/" in document


def test_the_component_for_two_replicas_fits_the_deployment_and_what_podpin_understands() -> None:
    (patch,), (budget,), base = loaded("ha/deployment.yaml"), loaded("ha/poddisruptionbudget.yaml"), deployment()
    assert patch["metadata"].items() <= base["metadata"].items()
    assert patch["spec"]["replicas"] == 2
    assert patch["spec"]["strategy"]["type"] == "RollingUpdate"
    pod, (container,) = patch["spec"]["template"]["spec"], patch["spec"]["template"]["spec"]["containers"]
    assert container["name"] == base["spec"]["template"]["spec"]["containers"][0]["name"]
    environment = {one["name"]: one.get("value", "podpin-6d4cf56db6-x7k2p") for one in container["env"]}
    settings = parse_settings(["run"], environment)
    assert (settings.leader_elect, settings.lease, settings.identity) == (True, None, "podpin-6d4cf56db6-x7k2p")
    assert container["env"][1]["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    mine = base["spec"]["selector"]
    assert [one["labelSelector"] for one in pod["topologySpreadConstraints"]] == [mine, mine]
    assert budget["spec"]["selector"] == mine


def test_the_rights_to_the_lease_are_in_podpins_own_namespace_alone_and_not_given_without_the_component() -> None:
    role, binding = loaded("ha/rbac.yaml")
    assert (role["kind"], role["metadata"]["namespace"]) == ("Role", NAMESPACE)
    leases = {Right("coordination.k8s.io", "leases", verb) for verb in ("get", "watch", "create", "update")}
    assert granted(role["rules"]) == leases | {Right("", "pods", "get")}
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    (subject,) = binding["subjects"]
    assert f"system:serviceaccount:{subject['namespace']}:{subject['name']}" == ACCOUNT
    for file in ("rbac.yaml", "namespaced/rbac.yaml"):
        assert not granted(loaded(file)[0]["rules"]) & leases


def test_webhooks_are_off_unless_the_component_is_taken() -> None:
    assert not [folder for folder in FOLDERS if "components" in loaded(f"{folder}/kustomization.yaml".lstrip("/"))[0]]
    assert "HOOK" not in (MANIFESTS / "base/deployment.yaml").read_text()


def test_the_network_policy_is_podpins_and_lets_in_to_its_ports_alone() -> None:
    (policy,), base = loaded("network-policy/network-policy.yaml"), deployment()
    assert policy["metadata"]["namespace"] == base["metadata"]["namespace"]
    selected = policy["spec"]["podSelector"]["matchLabels"]
    assert selected.items() <= base["spec"]["template"]["metadata"]["labels"].items()
    assert set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"}
    containers = [one["spec"]["template"]["spec"]["containers"][0] for one in (base, *loaded("hooks/deployment.yaml"))]
    there = {port["name"] for container in containers for port in container["ports"]}
    assert {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]} == there
    out = {(port["protocol"], port["port"]) for rule in policy["spec"]["egress"] for port in rule["ports"]}
    assert out == {("UDP", 53), ("TCP", 53), ("TCP", 443), ("TCP", 6443), ("TCP", "hooks")}


def test_nobody_deletes_the_definition_by_the_way() -> None:
    """With it would go every ImageRollout, and then what those run."""
    (definition,) = yaml.safe_load_all(CRD.read_text())
    assert definition["metadata"]["annotations"] == {
        "helm.sh/resource-policy": "keep",
        "kustomize.toolkit.fluxcd.io/prune": "disabled",
        "argocd.argoproj.io/sync-options": "Prune=false,Delete=false",
    }


def test_only_one_podpin_runs_at_a_time_and_as_nobody() -> None:
    spec = deployment()["spec"]
    assert (spec["replicas"], spec["strategy"]["type"]) == (1, "Recreate")
    user = spec["template"]["spec"]["securityContext"]["runAsUser"]
    assert f"USER {user}:{user}\n" in (ROOT / "Containerfile").read_text()


def test_what_goes_into_the_image_is_named_and_nothing_else() -> None:
    copied = [
        word.rstrip("/")
        for line in (ROOT / "Containerfile").read_text().splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for word in line.split()[1:-1]
    ]
    wanted = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert sorted(copied) == sorted(wanted)
