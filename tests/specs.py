"""A good spec, and every way to get one wrong that the schema knows: one table for both who read it, the operator's
parser and the API server."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

Json = dict[str, Any]

DIGEST: Final = "sha256:" + "0123456789abcdef" * 4
PEM: Final = """-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE7pBlkILi/WN1X8FiQTlZBK2/GlQD
Ol9bn1iDaSE8B5Eu+uccNndQid2Nmgp8mrTWhT2XhZbshUGMDSDx/6jwvw==
-----END PUBLIC KEY-----
"""

_GOOD: Final[Json] = {
    "images": [
        {
            "container": "app",
            "repository": "registry.example.com:5000/shop/web",
            "policy": {"semver": {"range": ">=1.4 <2"}},
        }
    ],
    "workload": {
        "kind": "Deployment",
        "replicas": 3,
        "template": {
            "metadata": {"labels": {"app": "web", "tier": "front"}},
            "spec": {"containers": [{"name": "app", "ports": [{"containerPort": 8080}]}]},
        },
    },
}


def good() -> Json:
    """A new copy of a spec with which nothing is wrong."""
    return deepcopy(_GOOD)


def full() -> Json:
    """A spec that sets every field there is."""
    spec = good()
    spec["images"].append({"container": "proxy", "repository": "envoy", "policy": {"tag": {"name": "v1.30"}}})
    spec["images"].append(
        {"container": "setup", "repository": "quay.io/x/y__z", "policy": {"digest": {"value": DIGEST}}}
    )
    spec["images"][0] |= {"platforms": ["linux/amd64"], "minAge": "30m", "immutableTags": True}
    for other in spec["images"][1:]:
        other["immutableTags"] = False
    spec["images"][1]["verify"] = [
        {"cosign": {"publicKeySecret": "envoy-cosign"}, "subject": "index"},
        {"cosign": {"publicKey": f"{PEM}\n{PEM}"}, "subject": "platform"},
        {
            "sigstore": {
                "issuer": "https://token.example.com",
                "identity": "https://git.example.com/envoy@refs/tags/*",
            },
            "subject": "either",
        },
    ]
    spec["registry"] = {
        "interval": "1m30s",
        "pullSecrets": [{"name": "a"}, {"name": "b.c"}],
        "caSecret": {"name": "ca"},
    }
    spec["suspend"] = True
    spec["rollout"] = {
        "progressDeadline": "1h",
        "bakeTime": "500ms",
        "prePull": True,
        "canary": {
            "pause": False,
            "steps": [{"replicas": 1, "bakeTime": "1m", "pause": True}, {"percent": 50, "pause": False}],
        },
        "checks": [
            {
                "name": "front",
                "http": {
                    "url": "https://$(name).$(namespace).svc:8443/ok?release=$(release)",
                    "status": {"min": 204, "max": 204},
                },
                "interval": "5s",
                "timeout": "500ms",
                "failuresAllowed": 0,
            },
            {
                "name": "errors",
                "prometheus": {
                    "address": "http://prometheus.monitoring.svc:9090/prom",
                    "query": 'sum(rate(errors{pod=~"^$(name)-.*$"}[1m]))',
                    "min": 0,
                    "max": 0.5,
                },
                "interval": "10s",
                "timeout": "5s",
                "failuresAllowed": 2,
            },
        ],
    }
    spec["update"] = {
        "mode": "Manual",
        "windows": [{"cron": "0 9 * * 1-5", "duration": "8h", "timeZone": "Europe/Berlin"}],
        "freeze": [
            {"from": "2026-12-20T00:00:00Z", "to": "2027-01-03T00:00:00+01:00"},
            {"cron": "*/5 0,12 1-7/2 jan-mar SUN", "duration": "1m", "timeZone": "UTC"},
        ],
    }
    spec["dependsOn"] = [{"name": "migration"}, {"name": "cache"}]
    spec["rollback"] = {"enabled": False}
    spec["workload"]["strategy"] = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}}
    spec["workload"]["minReadySeconds"] = 5
    spec["workload"]["inPlace"] = False
    spec["workload"]["pinConfig"] = True
    spec["workload"]["selector"] = {"matchLabels": {"app": "web"}}
    pod = spec["workload"]["template"]["spec"]
    pod["containers"].append({"name": "proxy", "image": "envoy:old"})
    pod["initContainers"] = [{"name": "setup", "restartPolicy": "Always"}]
    pod["restartPolicy"] = "Always"
    pod["serviceAccountName"] = "web"
    spec["workload"]["template"]["metadata"]["annotations"] = {"note": "kept"}
    return spec


def adopting(**fields: object) -> Json:
    """A spec with nothing wrong that takes over a workload which exists."""
    spec = good()
    del spec["workload"]
    return spec | {"targetRef": _TARGET | fields}


REPOSITORIES: Final = (
    "web", "shop/web", "localhost/web", "localhost:5000/web", "registry.example.com/a/b/c", "Registry.Example.com/web",
    "10.0.0.1:5000/web", "[fd00::1]:5000/web", "a.b/c--d/e__f/g.h", "1/2",
)  # fmt: skip
"""Every way to write a repository."""


@dataclass(frozen=True, slots=True)
class Bad:
    """A change that spoils a good spec: where the user is told to look, and what the user is told.

    `operator` is there where the API server has words of its own for a mistake, and the operator other ones.
    """

    name: str
    change: Callable[[Json], object]
    at: str
    says: str
    operator: str | None = None


def _repository(text: str) -> Callable[[Json], object]:
    return lambda spec: spec["images"][0].update(repository=text)


def _policy(**policy: Json) -> Callable[[Json], object]:
    return lambda spec: spec["images"][0].update(policy=policy)


def _verify(*demands: Json) -> Callable[[Json], object]:
    return lambda spec: spec["images"][0].update(verify=list(demands))


def _interval(text: object) -> Callable[[Json], object]:
    return lambda spec: spec.update(registry={"interval": text})


def _window(**fields: Any) -> Callable[[Json], object]:
    window = {"cron": "0 9 * * *", "duration": "1h", **fields}
    return lambda spec: spec.update(update={"windows": [window]})


_CRON = (
    "must be a cron expression of five fields (minute, hour, day of the month, month, day of the week), "
    "such as 0 9 * * 1-5"
)


def _rollout(**fields: object) -> Callable[[Json], object]:
    return lambda spec: spec.update(rollout=fields)


def _check(**fields: object) -> Callable[[Json], object]:
    """The one check of a spec; a field that is None is left out."""
    check = {"name": "front", "http": {"url": "http://web.$(namespace).svc/"}, **fields}
    given = {name: value for name, value in check.items() if value is not None}
    return lambda spec: spec.update(rollout={"checks": [given]})


def _workload(**fields: object) -> Callable[[Json], object]:
    return lambda spec: spec["workload"].update(fields)


def _strategy(**fields: object) -> Callable[[Json], object]:
    return _workload(strategy={"rollingUpdate": fields})


def _pod(**fields: object) -> Callable[[Json], object]:
    return lambda spec: spec["workload"]["template"]["spec"].update(fields)


def _template_spec(**fields: object) -> Callable[[Json], object]:
    return lambda spec: spec["workload"]["template"].update(spec=fields)


def _metadata(**fields: object) -> Callable[[Json], object]:
    return lambda spec: spec["workload"]["template"]["metadata"].update(fields)


def _target(**fields: object) -> Callable[[Json], object]:
    return lambda spec: (spec.pop("workload"), spec.update(targetRef=_TARGET | fields))


_TARGET: Final[Json] = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
_EITHER: Final = "give exactly one of workload, which podpin makes, and targetRef, a workload that exists"
_ERRORS: Final[Json] = {"address": "http://prometheus:9090", "query": "errors", "max": 1}
_CHECKS: Final = "spec.rollout.checks"
_WORDS: Final = "may carry $(namespace), $(name) and $(release), and no other word in $()"
_IMAGE: Final = "spec.images[0]"
_REPOSITORY: Final = "spec.images[0].repository"
_POLICY: Final = "spec.images[0].policy"
_TEMPLATE: Final = "spec.workload.template"
_POD: Final = "spec.workload.template.spec"
_METADATA: Final = "spec.workload.template.metadata"
_UPDATE: Final = "spec.workload.strategy.rollingUpdate"
_HOW_TO_WRITE: Final = "write it as in registry.example.com/shop/web"
_DURATION: Final = "must be a duration with its unit, such as 90s, 5m or 1h30m"
_HEX: Final = "must be sha256: and exactly 64 hexadecimal digits in lower case"
_ONE_TAG: Final = "must be one tag, such as 1.27: letters, digits, '_', '.' and '-', not beginning with '.' or '-'"
_ONLY_ONE: Final = (
    "policy must be only one of tag, semver, numeric, alphabetical, newest, promote and digest; more than one is given"
)
_NO_CONTAINER: Final = (
    "the template needs at least one container: list them under containers, and check how that is spelt"
)
_VERIFY: Final = "spec.images[0].verify"
_ONE_SIZE: Final = "canary needs exactly one of replicas, percent and steps"
_ONE_DEMAND: Final = "an entry of verify needs either cosign or sigstore, and not both: several entries must all be met"
_ONE_KEY: Final = "cosign needs either publicKey or publicKeySecret, and not both"
_PEM: Final = "must be a public key in PEM, as in the file cosign.pub: -----BEGIN PUBLIC KEY----- and what follows"
_IDENTITY: Final = (
    "must be an e-mail address or a URL, as it stands in the certificate; a * may stand at its end only, and not alone"
)
_NO_WAY_ON: Final = "maxSurge 0 needs a maxUnavailable above 0: otherwise no Pod could ever be replaced"
_RESERVED: Final = "keys that begin with podpin.dev/ are podpin's own: leave them out"

BAD: Final[tuple[Bad, ...]] = (
    # repository
    Bad("a scheme", _repository("https://registry.example.com/shop/web"), _REPOSITORY,
        f"repository must not carry a scheme: {_HOW_TO_WRITE}"),
    Bad("a scheme before capitals, a tag and a digest", _repository(f"docker://R.io/Shop:1@{DIGEST}"), _REPOSITORY,
        f"repository must not carry a scheme: {_HOW_TO_WRITE}"),
    Bad("a tag", _repository("registry.example.com:5000/shop/web:1.4.2"), _REPOSITORY,
        "repository must not carry a tag: put it under policy.tag"),
    Bad("a tag on a name without a registry", _repository("web:1.4.2"), _REPOSITORY,
        "repository must not carry a tag: put it under policy.tag"),
    Bad("a digest", _repository(f"registry.example.com/shop/web@{DIGEST}"), _REPOSITORY,
        "repository must not carry a digest: put it under policy.digest"),
    Bad("a tag and a digest", _repository(f"registry.example.com/shop/web:1@{DIGEST}"), _REPOSITORY,
        "repository must not carry a digest: put it under policy.digest"),
    Bad("capitals in the path", _repository("registry.example.com/Shop/web"), _REPOSITORY,
        "repository must be in lower case: registries know no capitals in a path"),
    Bad("capitals without a registry", _repository("Web"), _REPOSITORY,
        "repository must be in lower case: registries know no capitals in a path"),
    Bad("a registry alone", _repository("registry.example.com/"), _REPOSITORY,
        f"is not an image repository: {_HOW_TO_WRITE}"),
    Bad("a blank", _repository("shop/we b"), _REPOSITORY, f"is not an image repository: {_HOW_TO_WRITE}"),
    Bad("a newline at the end", _repository("shop/web\n"), _REPOSITORY, f"is not an image repository: {_HOW_TO_WRITE}"),
    Bad("an empty repository", _repository(""), _REPOSITORY, f"is not an image repository: {_HOW_TO_WRITE}"),
    Bad("a repository of 256 characters", _repository("a" * 256), _REPOSITORY,
        "Too long: may not be more than 255 bytes", operator="must have at most 255 characters"),
    Bad("no repository", lambda spec: spec["images"][0].pop("repository"), _REPOSITORY,
        "Required value", operator="must be given"),
    # policy
    Bad("an order that is none", _policy(numeric={"order": "down"}), f"{_POLICY}.numeric.order",
        'supported values: "asc", "desc"', operator="input should be 'asc' or 'desc'"),
    Bad("a filter for a policy that does not choose among tags",
        lambda spec: spec["images"][0].update(policy={"tag": {"name": "latest"}}, tags={"include": "^v"}), _IMAGE,
        "tags has a meaning only with the policies semver, numeric, alphabetical, newest, which choose among tags"),
    Bad("an extract without an include", lambda spec: spec["images"][0].update(tags={"extract": "$1"}),
        f"{_IMAGE}.tags", "extract takes its groups from include: give that as well"),
    Bad("seventeen exclusions", lambda spec: spec["images"][0].update(tags={"exclude": ["x"] * 17}),
        f"{_IMAGE}.tags.exclude", "must have at most 16 items", operator="should have at most 16 items"),
    Bad("a pattern of 257 characters", lambda spec: spec["images"][0].update(tags={"include": "x" * 257}),
        f"{_IMAGE}.tags.include", "may not be more than 256", operator="should have at most 256 characters"),
    Bad("a limit of none", lambda spec: spec["images"][0].update(tags={"limit": 0}), f"{_IMAGE}.tags.limit",
        "should be greater than or equal to 1", operator="should be greater than or equal to 1"),
    Bad("newest with an extract",
        lambda spec: spec["images"][0].update(policy={"newest": {}}, tags={"include": "(x)", "extract": "$1"}), _IMAGE,
        "tags.extract has no meaning with the policy newest, which compares build times: leave it out"),
    Bad("a platform that is none", lambda spec: spec["images"][0].update(platforms=["amd64"]),
        f"{_IMAGE}.platforms[0]", "must be a platform such as linux/amd64 or linux/arm/v7"),
    Bad("an age without its unit", lambda spec: spec["images"][0].update(minAge="5"), f"{_IMAGE}.minAge",
        "must be a duration with its unit, such as 90s, 5m or 1h30m"),
    Bad("an age for a digest",
        lambda spec: spec["images"][0].update(policy={"digest": {"value": DIGEST}}, minAge="5m"), _IMAGE,
        "platforms, minAge and immutableTags have no meaning with the policy digest"),
    Bad("a promotion from nowhere", _policy(promote={}), f"{_POLICY}.promote.from", "Required value",
        operator="must be given"),
    Bad("no policy", _policy(), _POLICY,
        "policy needs one of tag, semver, numeric, alphabetical, newest, promote or digest; none is given"),
    Bad("two policies", _policy(tag={"name": "1"}, semver={"range": "1.x"}), _POLICY,
        _ONLY_ONE),
    Bad("three policies", _policy(tag={"name": "1"}, semver={"range": "1.x"}, digest={"value": DIGEST}), _POLICY,
        _ONLY_ONE),
    Bad("a tag policy without a tag", _policy(tag={}), f"{_POLICY}.tag.name", "Required value",
        operator="must be given"),
    Bad("a tag with its repository", _policy(tag={"name": "web:1.2"}), f"{_POLICY}.tag.name",
        "must be the tag alone, such as 1.27: the repository has a field of its own"),
    Bad("a tag that begins with a hyphen", _policy(tag={"name": "-1"}), f"{_POLICY}.tag.name", _ONE_TAG),
    Bad("an empty tag", _policy(tag={"name": ""}), f"{_POLICY}.tag.name", _ONE_TAG),
    Bad("an empty range", _policy(semver={"range": ""}), f"{_POLICY}.semver.range",
        "should be at least 1 chars long", operator="should have at least 1 character"),
    Bad("a range of 257 characters", _policy(semver={"range": "1" * 257}), f"{_POLICY}.semver.range",
        "Too long: may not be more than 256 bytes", operator="should have at most 256 characters"),
    Bad("a digest of 63 digits", _policy(digest={"value": DIGEST[:-1]}), f"{_POLICY}.digest.value", _HEX),
    Bad("a digest of 65 digits", _policy(digest={"value": DIGEST + "0"}), f"{_POLICY}.digest.value", _HEX),
    Bad("a digest in capitals", _policy(digest={"value": DIGEST.upper()}), f"{_POLICY}.digest.value", _HEX),
    Bad("a digest without its algorithm", _policy(digest={"value": DIGEST[7:]}), f"{_POLICY}.digest.value",
        "must begin with sha256:"),
    # images
    Bad("no images", lambda spec: spec.pop("images"), "spec.images", "Required value", operator="must be given"),
    Bad("an empty list of images", lambda spec: spec.update(images=[]), "spec.images",
        "should have at least 1 items", operator="should have at least 1 item"),
    Bad("two entries for one container", lambda spec: spec["images"].append(spec["images"][0]), "spec.images",
        "Duplicate value", operator="has two entries for the container 'app'; keep one"),
    Bad("a container name with an underscore", lambda spec: spec["images"][0].update(container="my_app"),
        f"{_IMAGE}.container",
        "must be a DNS label: lower-case letters, digits and '-', with a letter or digit at both ends"),
    # verify
    Bad("a demand for nothing", _verify({}), f"{_VERIFY}[0]", _ONE_DEMAND),
    Bad("a demand for two things at once",
        _verify({"cosign": {"publicKeySecret": "a"}, "sigstore": {"issuer": "https://x", "identity": "me"}}),
        f"{_VERIFY}[0]", _ONE_DEMAND),
    Bad("cosign without a key", _verify({"cosign": {}}), f"{_VERIFY}[0].cosign", _ONE_KEY),
    Bad("cosign with two keys", _verify({"cosign": {"publicKey": PEM, "publicKeySecret": "a"}}),
        f"{_VERIFY}[0].cosign", _ONE_KEY),
    Bad("a key that is none", _verify({"cosign": {"publicKey": "AAAA"}}), f"{_VERIFY}[0].cosign.publicKey", _PEM),
    Bad("a key in the wrong kind of PEM", _verify({"cosign": {"publicKey": PEM.replace("PUBLIC KEY", "CERTIFICATE")}}),
        f"{_VERIFY}[0].cosign.publicKey", _PEM),
    Bad("a private key", _verify({"cosign": {"publicKey": PEM.replace("PUBLIC", "PRIVATE")}}),
        f"{_VERIFY}[0].cosign.publicKey",
        "must be the public key, as in the file cosign.pub: keep the private one to yourself"),
    Bad("a key of 4097 characters", _verify({"cosign": {"publicKey": PEM + " " * (4097 - len(PEM))}}),
        f"{_VERIFY}[0].cosign.publicKey", "Too long: may not be more than 4096 bytes",
        operator="must have at most 4096 characters"),
    Bad("a key's Secret in another namespace", _verify({"cosign": {"publicKeySecret": "../victim/secrets/x"}}),
        f"{_VERIFY}[0].cosign.publicKeySecret", "must be the name of an object"),
    Bad("an identity without an issuer", _verify({"sigstore": {"identity": "me@example.com"}}),
        f"{_VERIFY}[0].sigstore.issuer", "Required value", operator="must be given"),
    Bad("an issuer that is no address", _verify({"sigstore": {"issuer": "google", "identity": "me@example.com"}}),
        f"{_VERIFY}[0].sigstore.issuer",
        "must be the address of the identity's issuer, such as https://token.actions.githubusercontent.com"),
    Bad("everybody", _verify({"sigstore": {"issuer": "https://x", "identity": "*"}}),
        f"{_VERIFY}[0].sigstore.identity", _IDENTITY),
    Bad("a star within an identity", _verify({"sigstore": {"issuer": "https://x", "identity": "*@example.com"}}),
        f"{_VERIFY}[0].sigstore.identity", _IDENTITY),
    Bad("a subject that is none", _verify({"cosign": {"publicKeySecret": "a"}, "subject": "all"}),
        f"{_VERIFY}[0].subject", 'supported values: "index", "platform", "either"',
        operator="input should be 'index', 'platform' or 'either'"),
    Bad("nine demands", _verify(*[{"cosign": {"publicKeySecret": "a"}}] * 9), _VERIFY,
        "must have at most 8 items", operator="should have at most 8 items"),
    Bad("signatures for a fixed digest", lambda spec: (_policy(digest={"value": DIGEST})(spec),
        _verify({"cosign": {"publicKeySecret": "a"}})(spec)), _IMAGE,
        "verify has no meaning with the policy digest, which names one image for good: leave it out"),
    # durations
    Bad("a duration without a unit", _interval("5"), "spec.registry.interval", _DURATION),
    Bad("a negative duration", _interval("-1s"), "spec.registry.interval", _DURATION),
    Bad("a duration with a fraction", _interval("1.5h"), "spec.registry.interval", _DURATION),
    Bad("a duration in days", _interval("1d"), "spec.registry.interval", _DURATION),
    Bad("an empty duration", _interval(""), "spec.registry.interval", _DURATION),
    Bad("a duration that is a number", _interval(5), "spec.registry.interval",
        "must be of type string", operator=_DURATION),
    Bad("an interval of nothing", _interval("0s"), "spec.registry.interval", "must be between 10s and 24h"),
    Bad("an interval of 9 seconds", _interval("9s"), "spec.registry.interval", "must be between 10s and 24h"),
    Bad("an interval of more than a day", _interval("24h1ms"), "spec.registry.interval", "must be between 10s and 24h"),
    Bad("a deadline of nothing", _rollout(progressDeadline="0s"), "spec.rollout.progressDeadline",
        "must be between 1s and 24h"),
    Bad("a bake time of two days", _rollout(bakeTime="48h"), "spec.rollout.bakeTime", "must be between 0s and 24h"),
    Bad("a word where yes or no is asked for", _rollout(prePull="always"), "spec.rollout.prePull",
        "must be of type boolean", operator="should be a valid boolean"),
    Bad("a canary of no size", _rollout(canary={}), "spec.rollout.canary", _ONE_SIZE),
    Bad("a canary of two sizes", _rollout(canary={"replicas": 1, "percent": 5}), "spec.rollout.canary", _ONE_SIZE),
    Bad("a canary with a size and steps", _rollout(canary={"replicas": 1, "steps": [{"percent": 5}]}),
        "spec.rollout.canary", _ONE_SIZE),
    Bad("a canary with no steps", _rollout(canary={"steps": []}), "spec.rollout.canary", _ONE_SIZE),
    Bad("a bake time beside steps", _rollout(canary={"bakeTime": "1m", "steps": [{"percent": 5}]}),
        "spec.rollout.canary", "bakeTime and pause stand in each of the steps: leave them out beside steps"),
    Bad("a step of no size", _rollout(canary={"steps": [{}]}), "spec.rollout.canary.steps[0]",
        "a step of a canary needs either replicas or percent, and not both"),
    Bad("nine steps", _rollout(canary={"steps": [{"percent": 5}] * 9}), "spec.rollout.canary.steps",
        "must have at most 8 items", operator="should have at most 8 items"),
    Bad("more than all", _rollout(canary={"percent": 101}), "spec.rollout.canary.percent",
        "should be less than or equal to 100", operator="should be less than or equal to 100"),
    Bad("a deadline that no Pod could meet",
        lambda spec: (_rollout(progressDeadline="30s")(spec), _workload(minReadySeconds=30)(spec)), "spec",
        "rollout.progressDeadline must be longer than workload.minReadySeconds: no Pod could be available in time"),
    # when updates may begin
    Bad("a dependency named twice", lambda spec: spec.update(dependsOn=[{"name": "a"}, {"name": "a"}]),
        "spec.dependsOn", "Duplicate value", operator="has two entries for the name 'a'; keep one"),
    Bad("a dependency in another namespace", lambda spec: spec.update(dependsOn=[{"name": "shop/a"}]),
        "spec.dependsOn[0].name",
        "must be a DNS label: lower-case letters, digits and '-', with a letter or digit at both ends"),
    Bad("a mode that is none", lambda spec: spec.update(update={"mode": "Ask"}), "spec.update.mode",
        'supported values: "Auto", "Manual"', operator="input should be 'Auto' or 'Manual'"),
    Bad("a window of four fields", _window(cron="0 9 * *"), "spec.update.windows[0].cron", _CRON),
    Bad("a window by a name of cron", _window(cron="@daily"), "spec.update.windows[0].cron",
        "must be written out in five fields, such as 0 9 * * 1-5: names like @daily are not known"),
    Bad("a window of half a minute", _window(duration="30s"), "spec.update.windows[0].duration",
        "must be between 1m and 744h"),
    Bad("a window without a duration", lambda spec: spec.update(update={"windows": [{"cron": "* * * * *"}]}),
        "spec.update.windows[0].duration", "Required value", operator="must be given"),
    Bad("a time zone that is a path", _window(timeZone="../../etc/passwd"), "spec.update.windows[0].timeZone",
        "must be the name of a time zone, such as Europe/Berlin or UTC"),
    Bad("seventeen windows",
        lambda spec: spec.update(update={"windows": [{"cron": "* * * * *", "duration": "1m"}] * 17}),
        "spec.update.windows", "must have at most 16 items", operator="should have at most 16 items"),
    Bad("a freeze without an end", lambda spec: spec.update(update={"freeze": [{"from": "2026-12-20T00:00:00Z"}]}),
        "spec.update.freeze[0]", "a freeze needs either cron and duration, or from and to"),
    Bad("a freeze of both kinds",
        lambda spec: spec.update(update={"freeze": [{"from": "2026-12-20T00:00:00Z", "to": "2026-12-21T00:00:00Z",
                                                     "cron": "* * * * *", "duration": "1m"}]}),
        "spec.update.freeze[0]", "a freeze needs either cron and duration, or from and to"),
    Bad("a freeze from a day",
        lambda spec: spec.update(update={"freeze": [{"from": "2026-12-20", "to": "2026-12-21"}]}),
        "spec.update.freeze[0].from", "must be a time with its zone, such as 2026-12-20T00:00:00Z"),
    # checks
    Bad("a check of nothing", _check(http=None), f"{_CHECKS}[0]", "a check needs exactly one of http and prometheus"),
    Bad("a check of two things", _check(prometheus=_ERRORS), f"{_CHECKS}[0]",
        "a check needs exactly one of http and prometheus"),
    Bad("a check without a name", _check(name=None), f"{_CHECKS}[0].name", "Required value", operator="must be given"),
    Bad("two checks of one name",
        lambda spec: spec.update(rollout={"checks": [{"name": "a", "http": {"url": "http://web"}}] * 2}), _CHECKS,
        "Duplicate value", operator="has two entries for the name 'a'; keep one"),
    Bad("nine checks",
        lambda spec: spec.update(
            rollout={"checks": [{"name": f"n{n}", "http": {"url": "http://a"}} for n in range(9)]}), _CHECKS,
        "must have at most 8 items", operator="should have at most 8 items"),
    Bad("an address without its scheme", _check(http={"url": "web:8080/healthz"}), f"{_CHECKS}[0].http.url",
        "must be a web address, such as http://web.$(namespace).svc:8080/healthz"),
    Bad("an address of a file", _check(http={"url": "file:///etc/passwd"}), f"{_CHECKS}[0].http.url",
        "must be a web address, such as http://web.$(namespace).svc:8080/healthz"),
    Bad("an address with a password", _check(http={"url": "http://me:secret@web/"}), f"{_CHECKS}[0].http.url",
        "must not carry a user or a password: whoever reads the rollout would read them"),
    Bad("an address with a fragment", _check(http={"url": "http://web/#top"}), f"{_CHECKS}[0].http.url",
        "must not have a fragment: what follows # is never sent"),
    Bad("a word that podpin does not know", _check(http={"url": "http://web/$(pod)"}), f"{_CHECKS}[0].http.url",
        _WORDS),
    Bad("a word within a word", _check(http={"url": "http://web/$(na$(name)me)"}), f"{_CHECKS}[0].http.url", _WORDS),
    Bad("a status that is none", _check(http={"url": "http://web", "status": {"max": 600}}),
        f"{_CHECKS}[0].http.status.max", "should be less than or equal to 599",
        operator="should be less than or equal to 599"),
    Bad("a range of statuses that is empty", _check(http={"url": "http://web", "status": {"min": 400}}),
        f"{_CHECKS}[0].http.status", "min must not be above max: no status could ever be good"),
    Bad("a query without a bound", _check(http=None, prometheus={"address": "http://p:9090", "query": "up"}),
        f"{_CHECKS}[0].prometheus", "prometheus needs min, max or both: what the numbers are to be"),
    Bad("bounds that nothing is within", _check(http=None, prometheus=_ERRORS | {"min": 2}),
        f"{_CHECKS}[0].prometheus", "min must not be above max: no number could ever be good"),
    Bad("an empty query", _check(http=None, prometheus=_ERRORS | {"query": ""}), f"{_CHECKS}[0].prometheus.query",
        "should be at least 1 chars long", operator="should have at least 1 character"),
    Bad("a word in a query that podpin does not know", _check(http=None, prometheus=_ERRORS | {"query": "up $(pod)"}),
        f"{_CHECKS}[0].prometheus.query", _WORDS),
    Bad("the address of an API with a query", _check(http=None, prometheus=_ERRORS | {"address": "http://p/?query=up"}),
        f"{_CHECKS}[0].prometheus.address", "must not have a query: that is a field of its own"),
    Bad("a check without end", _check(timeout="31s"), f"{_CHECKS}[0].timeout", "must be between 100ms and 30s"),
    Bad("a check without a pause", _check(interval="999ms"), f"{_CHECKS}[0].interval", "must be between 1s and 10m"),
    Bad("failures beyond number", _check(failuresAllowed=101), f"{_CHECKS}[0].failuresAllowed",
        "should be less than or equal to 100", operator="should be less than or equal to 100"),
    # secrets
    Bad("a Secret's name in capitals", lambda spec: spec.update(registry={"caSecret": {"name": "CA"}}),
        "spec.registry.caSecret.name", "must be the name of an object: lower-case letters, digits, '-' and '.', "
        "with a letter or digit at both ends"),
    Bad("a pull secret named twice", lambda spec: spec.update(registry={"pullSecrets": [{"name": "a"}, {"name": "a"}]}),
        "spec.registry.pullSecrets", "Duplicate value", operator="has two entries for the name 'a'; keep one"),
    # workload
    Bad("neither a workload nor a target", lambda spec: spec.pop("workload"), "spec", _EITHER),
    Bad("a workload and a target", lambda spec: spec.update(targetRef=_TARGET), "spec", _EITHER),
    Bad("a canary beside a StatefulSet",
        lambda spec: (_target(kind="StatefulSet")(spec), spec.update(rollout={"canary": {"replicas": 1}})), "spec",
        "rollout.canary needs workload, or the targetRef of a Deployment: beside another kind podpin makes no Pods"),
    Bad("a target of a kind that podpin does not know", _target(kind="ReplicaSet"), "spec.targetRef.kind",
        "supported values: ", operator="input should be 'Deployment', "),
    Bad("a CronJob in the wrong group", _target(kind="CronJob"), "spec.targetRef",
        "apiVersion is batch/v1 for a CronJob and apps/v1 for every other kind"),
    Bad("a target of a group that podpin does not know", _target(apiVersion="apps/v2"), "spec.targetRef.apiVersion",
        'supported values: "apps/v1", "batch/v1"', operator="input should be 'apps/v1' or 'batch/v1'"),
    Bad("a target that no object can be called", _target(name="Web"), "spec.targetRef.name",
        "must be the name of an object"),
    Bad("Pods without a number", lambda spec: spec["workload"].update(kind="Pods") or spec["workload"].pop("replicas"),
        "spec.workload",
        "kind Pods needs replicas: write how many Pods to begin with, and let an autoscaler change it"),
    Bad("a configuration that is pinned by a word", _workload(pinConfig="perhaps"), "spec.workload.pinConfig",
        'must be of type boolean: "string"', operator="input should be a valid boolean"),
    Bad("a Deployment in place", _workload(inPlace=True), "spec.workload",
        "inPlace needs kind Pods, and has no meaning with the strategy Recreate: leave it out"),
    Bad("Pods that are stopped first, and updated in place",
        _workload(kind="Pods", inPlace=True, strategy={"type": "Recreate"}), "spec.workload",
        "inPlace needs kind Pods, and has no meaning with the strategy Recreate: leave it out"),
    Bad("a kind that podpin does not make", _workload(kind="StatefulSet"), "spec.workload.kind",
        'supported values: "Deployment"', operator="input should be 'Deployment'"),
    Bad("negative replicas", _workload(replicas=-1), "spec.workload.replicas",
        "should be greater than or equal to 0", operator="greater than or equal to 0"),
    Bad("a selector that the template does not carry", _workload(selector={"matchLabels": {"app": "shop"}}),
        "spec.workload", "selector.matchLabels must stand among the labels of the template"),
    Bad("a selector of nine labels",
        lambda spec: (_metadata(labels={str(n): "x" for n in range(9)})(spec),
                      _workload(selector={"matchLabels": {str(n): "x" for n in range(9)}})(spec)),
        "spec.workload.selector.matchLabels", "must have at most 8 items", operator="should have at most 8 items"),
    Bad("a selector's key of 318 characters",
        lambda spec: (_metadata(labels={"x" * 318: "x"})(spec),
                      _workload(selector={"matchLabels": {"x" * 318: "x"}})(spec)),
        "spec.workload.selector.matchLabels", "the key of a label has at most 317 characters"),
    Bad("an empty selector", _workload(selector={"matchLabels": {}}), "spec.workload.selector.matchLabels",
        "should have at least 1 properties", operator="should have at least 1 item"),
    Bad("an unknown strategy", _workload(strategy={"type": "Rolling"}), "spec.workload.strategy.type",
        'supported values: "RollingUpdate", "Recreate"', operator="input should be 'RollingUpdate' or 'Recreate'"),
    Bad("Recreate with a rolling update", _workload(strategy={"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}),
        "spec.workload.strategy", "rollingUpdate has no meaning with type Recreate: leave it out"),
    Bad("no surge and none unavailable", _strategy(maxSurge="0%", maxUnavailable=0), _UPDATE,
        _NO_WAY_ON),
    Bad("no surge alone", _strategy(maxSurge=0), _UPDATE, _NO_WAY_ON),
    Bad("a percentage without its sign", _strategy(maxSurge="25"), f"{_UPDATE}.maxSurge",
        "must be a number of Pods or a percentage such as 25%"),
    Bad("a negative surge", _strategy(maxSurge=-1), f"{_UPDATE}.maxSurge",
        "must be a number of Pods or a percentage such as 25%"),
    # template
    Bad("no template", lambda spec: spec["workload"].pop("template"), _TEMPLATE, "Required value",
        operator="must be given"),
    Bad("a template without a spec", _workload(template={}), _POD, "Required value", operator="must be given"),
    Bad("no containers", lambda spec: spec["workload"]["template"]["spec"].pop("containers"), _POD, _NO_CONTAINER),
    Bad("an empty list of containers", _pod(containers=[]), _POD, _NO_CONTAINER),
    Bad("containers misspelt", _template_spec(contianers=[{"name": "app"}]), _POD, _NO_CONTAINER),
    Bad("two containers of one name", _pod(containers=[{"name": "app"}, {"name": "app"}]), f"{_POD}.containers",
        "Duplicate value", operator="has two entries for the name 'app'; keep one"),
    Bad("an init container with a container's name", _pod(initContainers=[{"name": "app"}]), _POD,
        "a container and an init container have the same name: names must be unique in the Pod"),
    Bad("a container without a name", _pod(containers=[{"image": "x"}]), f"{_POD}.containers[0].name",
        "Required value", operator="must be given"),
    Bad("an image that is a number", _pod(containers=[{"name": "app", "image": 1}]), f"{_POD}.containers[0].image",
        "must be of type string", operator="input should be a valid string"),
    Bad("a pull secret of the template that is a path", _pod(imagePullSecrets=[{"name": "../../victim/secrets/x"}]),
        f"{_POD}.imagePullSecrets[0].name", "must be the name of an object"),
    Bad("a pull secret of the template that is no object", _pod(imagePullSecrets=["regcred"]),
        f"{_POD}.imagePullSecrets[0]", "must be of type object", operator="must be an object"),
    Bad("an account that is a path", _pod(serviceAccountName="../../victim/secrets/x"),
        f"{_POD}.serviceAccountName", "must be the name of a ServiceAccount"),
    Bad("an account that is a path, by the old name", _pod(serviceAccount="a/b"),
        f"{_POD}.serviceAccount", "must be the name of a ServiceAccount"),
    Bad("an account that is a number", _pod(serviceAccountName=1),
        f"{_POD}.serviceAccountName", "must be of type string", operator="input should be a valid string"),
    Bad("a restart policy of Jobs", _pod(restartPolicy="OnFailure"), _POD,
        "restartPolicy must be Always or left out: the workload keeps its Pods running"),
    Bad("a label that is a number", _metadata(labels={"app": 1}), f"{_METADATA}.labels.app",
        "must be of type string", operator="input should be a valid string"),
    Bad("a label of podpin's own", _metadata(labels={"podpin.dev/rollout": "web"}), f"{_METADATA}.labels", _RESERVED),
    Bad("an annotation of podpin's own", _metadata(annotations={"podpin.dev/x": "mine"}), f"{_METADATA}.annotations",
        _RESERVED),
)  # fmt: skip
