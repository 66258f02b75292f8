"""What is fuzzed: each target reads bytes as podpin would, and may raise what its reader promises, and nothing else.

Besides not falling over, each holds its reader to a promise: what was accepted reads the same when it is written again.
"""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from yarl import URL

from podpin.adapters.registry.challenge import parse_challenges
from podpin.adapters.registry.limits import Limits, read_quota
from podpin.adapters.registry.manifest import descriptors_in, prove_manifest, read_object
from podpin.adapters.registry.paging import next_page
from podpin.adapters.registry.transport import Transport, read_url
from podpin.adapters.signatures.keys import is_signed_by, load_keys
from podpin.core.hooks import SOURCES, NotUnderstood, read
from podpin.core.image import children_of, facts_of, pick
from podpin.core.keyring import Keyring, KeyringInvalid, SecretData
from podpin.core.mirrors import parse_mirror
from podpin.core.placement import node_of, placement_of, platforms_for
from podpin.core.policy import dated, natural
from podpin.core.policy.numeric import number
from podpin.core.policy.terms import Terms, object_to
from podpin.core.reference import ReferenceInvalid, parse_pin, parse_reference, parse_repository
from podpin.core.semver import RangeInvalid, parse_range, parse_version
from podpin.core.spec.images import NewestPolicy, Policy, Selection
from podpin.core.status import parse_status, render_status
from podpin.core.trust import flaw_in, parse_bundle, parse_simple
from podpin.errors import Invalid, Untrusted, Unverifiable

if TYPE_CHECKING:
    from collections.abc import Callable

NOW: Final = datetime(2026, 11, 24, tzinfo=UTC)
HERE: Final = URL("https://registry.example.com/v2/shop/web/tags/list")
TRANSPORT: Final = Transport(
    insecure_hosts=frozenset(),
    reachable_hosts=frozenset(),
    private_ranges=True,
    limits=Limits(),
    monotonic=lambda: 0.0,
    rng=lambda: 0.0,
)
FORM: Final = "application/x-www-form-urlencoded"
KEY: Final = """-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE7pBlkILi/WN1X8FiQTlZBK2/GlQD
Ol9bn1iDaSE8B5Eu+uccNndQid2Nmgp8mrTWhT2XhZbshUGMDSDx/6jwvw==
-----END PUBLIC KEY-----
"""
(OURS,) = load_keys(KEY.encode(), "It")
KINDS: Final = (
    None,
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "text/html",
)


def references(data: bytes) -> None:
    """Names of images, as users and other objects write them."""
    text = data.decode("utf-8", "replace")
    for parse in (parse_reference, parse_repository, parse_pin):
        try:
            parse(text)
        except ReferenceInvalid:
            continue
    try:
        repository = parse_repository(text)
    except ReferenceInvalid:
        return
    assert parse_repository(str(repository)) == repository


def challenges(data: bytes) -> None:
    """WWW-Authenticate headers of a registry."""
    for challenge in parse_challenges(data.decode("latin-1").split("\n")):
        assert challenge.scheme == challenge.scheme.lower()


def links(data: bytes) -> None:
    """Link headers of a registry: wherever they point, the next page is asked of the same registry."""
    found = next_page([data.decode("latin-1")], HERE)
    assert found is None or found.origin() == HERE.origin()


def hops(data: bytes) -> None:
    """Where a registry sends podpin: realms and redirects. What passes is HTTPS, to a host of plain letters."""
    text = data.decode("utf-8", "replace")
    read_quota(text)
    with contextlib.suppress(ValueError):
        parse_mirror(text)
    url = read_url(text)
    if url is None:
        return
    try:
        TRANSPORT.check_hop(url)
    except (Invalid, Untrusted):
        return
    host = url.raw_host or ""
    assert url.scheme == "https"
    assert host.isascii()
    with contextlib.suppress(ValueError):
        address = ip_address(host)
        assert not any((address.is_loopback, address.is_link_local, address.is_unspecified))


def ranges(data: bytes) -> None:
    """Ranges of versions, and tags beside them."""
    wanted, _, tag = data.decode("utf-8", "replace").partition("\n")
    number(tag[:128])
    natural(tag[:128])
    dated(Selection(Policy(newest=NewestPolicy())), [tag[:128]])
    try:
        parsed = parse_range(wanted[:256])
    except RangeInvalid:
        return
    version = parse_version(tag[:128])
    if version is not None:
        assert parsed.admits(version) == parse_range(wanted[:256]).admits(version)


def manifests(data: bytes) -> None:
    """Manifests, indexes and configs of images."""
    kind = KINDS[data[0] % len(KINDS)] if data else None
    body = data[1:]
    with contextlib.suppress(Untrusted):
        assert prove_manifest("It", kind, body).body == body
    document = read_object(body)
    if document is not None:
        facts = facts_of(document, document, document)
        assert facts.size is None or facts.size >= 0
        pick(children_of(document), facts.platforms)
        for terms in (Terms(platforms=("linux/amd64",)), Terms(min_age=timedelta(hours=8760))):
            object_to(terms, terms.platforms, "it", facts, NOW)


def pull_secrets(data: bytes) -> None:
    """The contents of pull secrets."""
    for kind, key in (("dockerconfigjson", ".dockerconfigjson"), ("dockercfg", ".dockercfg")):
        try:
            Keyring.of_secrets([SecretData("it", f"kubernetes.io/{kind}", {key: data})])
        except KeyringInvalid:
            continue


def objects(data: bytes) -> None:
    """What the API server hands over and users may have written: templates, nodes, a status."""
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError):
        return
    status = parse_status(raw)
    assert parse_status(render_status(status)) == status
    if isinstance(raw, dict):
        platforms_for(placement_of(raw), (node_of(raw),))


def hooks(data: bytes) -> None:
    """Webhooks of every source, as bodies, as forms and as events whose type stands in a header."""
    names = sorted(SOURCES)
    source = SOURCES[names[data[0] % len(names)]] if data else SOURCES["plain"]
    kind, _, body = data[1:].partition(b"\n")
    for headers in (
        {},
        {"content-type": FORM},
        {"ce-type": kind.decode("latin-1"), "ce-source": "https://r.example.com"},
    ):
        with contextlib.suppress(NotUnderstood):
            for notice in read(source, headers, body):
                assert parse_repository(f"registry.example.com/{notice.path}").path == notice.path


def signatures(data: bytes) -> None:
    """What is found beside images as signatures, and public keys: none of it is ever one of ours."""
    for descriptor in (*descriptors_in(data), *descriptors_in(data, "layers")):
        assert descriptor.digest.startswith("sha256:")
    for found in (parse_bundle(data), parse_simple(data, {"dev.cosignproject.cosign/signature": "AAAA"})):
        assert found is None or flaw_in(found, f"sha256:{'f' * 64}") is not None
        assert found is None or not is_signed_by(OURS, found.message, found.signature)
    with contextlib.suppress(Unverifiable):
        assert load_keys(data, "It")


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "references": references,
    "challenges": challenges,
    "links": links,
    "hops": hops,
    "ranges": ranges,
    "manifests": manifests,
    "pull-secrets": pull_secrets,
    "objects": objects,
    "hooks": hooks,
    "signatures": signatures,
}

HOOKS: Final = (
    b'\n{"events":[{"action":"push","target":{"repository":"shop/web","tag":"1"},"request":{"host":"r.example.com"}}]}',
    (
        b'\n{"type":"PUSH_ARTIFACT","event_data":{"resources":[{"resource_url":"r.example.com/shop/web:1"}]},"repository":'
        b'{"repo_name":"shop/web"},"docker_url":"r.example.com/shop/web","updated_tags":["1"],"message":{"data":"e30="}}'
    ),
    (
        b'zotregistry.image.updated\n{"name":"shop/web","reference":"1","specversion":"1.0","type":"a.image.updated","data":'
        b'{"name":"shop/web"},"action":"CREATED","asset":{"format":"docker","name":"v2/shop/web/manifests/1"}}'
    ),
    (
        b'com.amazon.ecr.push\n{"detail":{"action-type":"PUSH","result":"SUCCESS","image-tag":"1","repository-name":"a"},'
        b'"account":"1","region":"cn-1","action":"published","package":{"package_type":"container","name":"a"}}'
    ),
)
SEEDS: Final[dict[str, tuple[bytes, ...]]] = {
    "references": (b"registry.example.com:5000/shop/web:1.4.2@sha256:" + b"a" * 64, b"web", b"[::1]:5000/x"),
    "challenges": (b'Bearer realm="https://a.example.com/token",service="r",scope="repository:a:pull"\nBasic realm=x',),
    "links": (b'</v2/shop/web/tags/list?n=100&last=1>; rel="next"',),
    "hops": (
        b"https://auth.example.com/token?a=b",
        b"https://[::ffff:169.254.169.254]:443/",
        "https://①⑥⑨.254/".encode(),
    ),
    "ranges": (b">=1.4 <2 || ~3.x, !=3.1\nv1.4.2-rc.1+b", b"1 - 2\n2026.10.1"),
    "manifests": (
        b'\x01{"schemaVersion":2,"manifests":[{"digest":"sha256:' + b"a" * 64 + b'","size":1,'
        b'"platform":{"os":"linux","architecture":"arm","variant":"v7"}}],"annotations":{}}',
        b'\x02{"schemaVersion":2,"config":{"digest":"sha256:' + b"a" * 64 + b'","size":1},"layers":[],'
        b'"created":"2026-01-01T00:00:00Z","os":"linux","architecture":"amd64"}',
    ),
    "pull-secrets": (
        b'{"auths":{"https://r.example.com/v1/":{"auth":"bWU6cHc="}}}',
        b'{"r":{"username":"a","password":"b"}}',
    ),
    "objects": (
        (
            b'{"spec":{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":'
            b'[{"matchExpressions":[{"key":"a","operator":"In","values":["b"]}]}]}}},"tolerations":[{"key":"a"}]}}'
        ),
        b'{"conditions":[],"stable":{"release":"a","images":[],"since":"2026-01-01T00:00:00Z"},"replicas":1}',
    ),
    "hooks": tuple(bytes([number]) + seed for number in range(len(SOURCES)) for seed in HOOKS),
    "signatures": (
        (
            b'{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{}},'
            b'"dsseEnvelope":{"payload":"eyJfdHlwZSI6IHt9fQ==","payloadType":"application/vnd.in-toto+json",'
            b'"signatures":[{"sig":"AAAA"}]}}'
        ),
        b'{"critical":{"image":{"docker-manifest-digest":"sha256:1"},"type":"cosign container image signature"}}',
        b'{"layers":[{"digest":"sha256:' + b"a" * 64 + b'","platform":{"os":"linux"},"annotations":{"a":"b"}}]}',
        KEY.encode(),
    ),
}
