"""Whether images are signed as demanded: what cosign itself made, what nobody honest would, and odd registries."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa
from tests.adapters.registry.scripted import INDEX, access, image, manifest, missing, reply
from tests.adapters.signatures.signing import (
    BUNDLE,
    SIMPLE,
    THEIRS,
    VECTORS,
    artifact,
    base,
    bundle,
    by_key,
    index_of,
    pem,
    put_blob,
    put_fallback,
    put_image,
    put_legacy,
    put_referrers,
    put_vector,
    signed,
    simple,
    statement,
    text,
)

from podpin.adapters.signatures import Verifier
from podpin.adapters.signatures.discovery import MOST_BYTES
from podpin.core.keyring import Access
from podpin.core.spec.images import Demand
from podpin.errors import Denied, Unavailable, Unverifiable

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.adapters.registry.scripted import Reply, Scripted

    from podpin.adapters.registry.client import RegistryClient

    Put = Callable[[Scripted, str], None]

ANYBODY = Access()
KEYS = VECTORS["keys"]
SIGNED = sorted(name for name in VECTORS["signed"] if not name.endswith("attestation"))


@pytest.fixture
def verifier(client: RegistryClient) -> Verifier:
    return Verifier(client)


# --- what cosign made


@pytest.mark.parametrize("name", SIGNED)
async def test_what_cosign_signed_is_verified(registry: Scripted, verifier: Verifier, name: str) -> None:
    digest = put_vector(registry, name)
    key = KEYS[name.partition(" ")[0]]
    assert await verifier.verify(registry.app, digest, ANYBODY, (by_key(key),), name="it") is None


@pytest.mark.parametrize("name", SIGNED)
async def test_what_cosign_signed_with_another_key_is_not(registry: Scripted, verifier: Verifier, name: str) -> None:
    digest = put_vector(registry, name)
    sentence = "it is signed, but not by the key in the spec"
    assert await verifier.verify(registry.app, digest, ANYBODY, (by_key(),), name="it") == sentence


@pytest.mark.parametrize("name", SIGNED)
async def test_what_cosign_signed_is_nothing_once_a_bit_of_it_is_changed(
    registry: Scripted, verifier: Verifier, name: str
) -> None:
    digest = put_vector(registry, name)
    if name.endswith("bundle"):
        (content,) = VECTORS["signed"][name]["blobs"].values()
        changed = json.loads(content)
        payload = json.loads(base64.b64decode(changed["dsseEnvelope"]["payload"]))
        changed["dsseEnvelope"]["payload"] = base(text({**payload, "more": 1}))
        put_fallback(registry, digest, artifact(registry, digest, changed))
    else:
        ((content, raw),) = zip(
            VECTORS["signed"][name]["blobs"].values(), VECTORS["signed"][name]["manifests"].values(), strict=True
        )
        notes = json.loads(raw)["layers"][0]["annotations"]
        put_legacy(registry, digest, (f"{content} ".encode(), notes))
    said = await verifier.verify(registry.app, digest, ANYBODY, (by_key(KEYS[name.partition(" ")[0]]),), name="it")
    assert said is not None
    assert "but not by the key in the spec" in said


async def test_cosign_s_attestation_is_no_signature(registry: Scripted, verifier: Verifier) -> None:
    digest = put_vector(registry, "ecdsa-p256 attestation")
    sentence = "it has attestations by the key in the spec only, and no signature: sign it with cosign sign"
    assert await verifier.verify(registry.app, digest, ANYBODY, (by_key(KEYS["ecdsa-p256"]),), name="it") == sentence


async def test_one_of_several_keys_in_one_place_is_enough(registry: Scripted, verifier: Verifier) -> None:
    digest = put_vector(registry, "rsa-2048 bundle")
    both = (by_key(f"{pem()}\n{KEYS['rsa-2048']}"),)
    assert await verifier.verify(registry.app, digest, ANYBODY, both, name="it") is None


async def test_several_demands_must_all_be_met(registry: Scripted, verifier: Verifier) -> None:
    digest = put_vector(registry, "rsa-2048 bundle")
    said = await verifier.verify(registry.app, digest, ANYBODY, (by_key(KEYS["rsa-2048"]), by_key()), name="it")
    assert said == "it is signed, but not by the key in the spec"
    put_legacy(registry, digest, signed(simple(digest)))
    assert await verifier.verify(registry.app, digest, ANYBODY, (by_key(KEYS["rsa-2048"]), by_key()), name="it") is None


async def test_no_demand_asks_nobody(registry: Scripted, verifier: Verifier) -> None:
    assert await verifier.verify(registry.app, put_image(registry), ANYBODY, (), name="it") is None
    assert registry.asked == []


# --- keys


async def test_a_key_from_a_secret(registry: Scripted, verifier: Verifier) -> None:
    digest = put_vector(registry, "ed25519 bundle")
    demand = Demand.model_validate({"cosign": {"publicKeySecret": "shop-cosign"}})
    good, bad = (Access(keys=(("shop-cosign", key.encode()),)) for key in (KEYS["ed25519"], pem()))
    assert await verifier.verify(registry.app, digest, good, (demand,), name="it") is None
    said = await verifier.verify(registry.app, digest, bad, (demand,), name="it")
    assert said == "it is signed, but not by the key in Secret shop-cosign"
    with pytest.raises(Unverifiable, match="in Secret shop-cosign, which verify names, is not at hand"):
        await verifier.verify(registry.app, digest, ANYBODY, (demand,), name="it")


BAD_KEYS = {
    "an RSA key of 1024 bits": (pem(rsa.generate_private_key(65537, 1024)), "RSA key of 1024 bits, which is too weak"),
    "another curve": (pem(ec.generate_private_key(ec.SECP256K1())), "of a kind that podpin does not take"),
    "DSA": (pem(dsa.generate_private_key(2048)), "of a kind that podpin does not take"),
    "Ed448": (pem(ed448.Ed448PrivateKey.generate()), "of a kind that podpin does not take"),
    "garbage": ("garbage", "holds no public key in PEM"),
    "nothing": ("", "holds no public key in PEM"),
    "a private key": (pem().replace("PUBLIC", "PRIVATE"), "holds a private key"),
    "a certificate": (pem().replace("PUBLIC KEY", "CERTIFICATE"), "holds no public key in PEM"),
    "a key cut short": ("-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n", "that cannot be read"),
    "a good key and a bad one": (pem() + pem(rsa.generate_private_key(65537, 1024)), "too weak"),
    "nine keys": (pem() * 9, "more than 8 public keys"),
}


@pytest.mark.parametrize(("key", "sentence"), BAD_KEYS.values(), ids=BAD_KEYS)
async def test_a_key_that_is_no_good_is_refused_before_anybody_is_asked(
    registry: Scripted, verifier: Verifier, key: str, sentence: str
) -> None:
    demand = Demand.model_validate({"cosign": {"publicKeySecret": "shop-cosign"}})
    with_key = Access(keys=(("shop-cosign", key.encode()),))
    with pytest.raises(Unverifiable, match=f"The key cosign.pub of Secret shop-cosign .*{sentence}"):
        await verifier.verify(registry.app, put_image(registry), with_key, (demand,), name="it")
    assert registry.asked == []


# --- signatures that nobody honest makes

OTHER = "sha256:" + "1" * 64


def as_referrer(content: Callable[[str], Any], **more: Any) -> Put:
    return lambda registry, digest: put_referrers(registry, digest, artifact(registry, digest, content(digest), **more))


def as_legacy(*layers: Callable[[str], tuple[Any, dict[str, str]]]) -> Put:
    return lambda registry, digest: put_legacy(registry, digest, *[layer(digest) for layer in layers])


def without(content: dict[str, Any], *path: str) -> dict[str, Any]:
    *way, last = path
    inner = content
    for step in way:
        inner = inner[step]
    del inner[last]
    return content


def resigned(digest: str, *signatures: dict[str, str]) -> dict[str, Any]:
    content = bundle(statement(digest))
    content["dsseEnvelope"]["signatures"] = list(signatures)
    return content


NONE = "has no signature, and must be signed by the key in the spec"
UNREADABLE = "has no signature that podpin can read"
NOT_OURS = "is signed, but not by the key in the spec"
COPY = "has a signature by the key in the spec that was made for another image"
ATTESTED = "has attestations by the key in the spec only"
REFUSED: dict[str, tuple[Put, str]] = {
    "no signature at all": (lambda registry, digest: None, NONE),
    "a bundle by another key": (as_referrer(lambda digest: bundle(statement(digest), THEIRS)), NOT_OURS),
    "a bundle copied from another image": (as_referrer(lambda digest: bundle(statement(OTHER))), COPY),
    "a bundle of another predicate": (as_referrer(lambda digest: bundle(statement(digest, "https://slsa.dev/provenance/v1"))), ATTESTED),
    "a statement without a predicate": (as_referrer(lambda digest: bundle(without(statement(digest), "predicateType"))), ATTESTED),
    "a statement of an unknown type": (as_referrer(lambda digest: bundle(statement(digest, _type="https://example.com"))), ATTESTED),
    "a statement without subjects": (as_referrer(lambda digest: bundle(statement(digest, subject=None))), COPY),
    "a statement with odd subjects": (
        as_referrer(lambda digest: bundle(statement(digest, subject=[1, {}, {"digest": 1}, {"digest": {"sha512": "1"}}]))), COPY),
    "a subject that is our digest with its algorithm": (
        as_referrer(lambda digest: bundle(statement(digest, subject=[{"digest": {"sha256": digest}}]))), COPY),
    "an envelope that is no statement": (as_referrer(lambda digest: bundle(simple(digest))), ATTESTED),
    "an envelope of another type": (as_referrer(lambda digest: bundle(statement(digest), kind="text/plain")), ATTESTED),
    "a statement that is no JSON": (as_referrer(lambda digest: bundle(b"{")), ATTESTED),
    "a bundle with a certificate and our key's signature for another image": (
        as_referrer(lambda digest: bundle(statement(OTHER), verificationMaterial={"certificate": {}})), COPY),
    "a bundle of version 0.1": (as_referrer(lambda digest: bundle(statement(digest), mediaType="application/vnd.dev.sigstore.bundle+json;version=0.1")), UNREADABLE),
    "a bundle whose type is a list": (as_referrer(lambda digest: bundle(statement(digest), mediaType=[])), UNREADABLE),
    "a statement whose type is an object": (as_referrer(lambda digest: bundle(statement(digest, _type={}))), ATTESTED),
    "a bundle that is no JSON": (as_referrer(lambda digest: b"nonsense"), UNREADABLE),
    "a bundle that is a list": (as_referrer(lambda digest: [1]), UNREADABLE),
    "JSON nested without end": (as_referrer(lambda digest: b"[" * 100_000), UNREADABLE),
    "a bundle without an envelope": (as_referrer(lambda digest: without(bundle(statement(digest)), "dsseEnvelope")), UNREADABLE),
    "a bundle without material": (as_referrer(lambda digest: without(bundle(statement(digest)), "verificationMaterial")), UNREADABLE),
    "an envelope without a signature": (as_referrer(lambda digest: resigned(digest)), UNREADABLE),
    "an envelope with an empty signature": (as_referrer(lambda digest: resigned(digest, {"sig": ""})), UNREADABLE),
    "an envelope with two signatures": (as_referrer(lambda digest: resigned(digest, {"sig": "AAAA"}, {"sig": "AAAA"})), UNREADABLE),
    "an envelope with a signature that is no base64": (as_referrer(lambda digest: resigned(digest, {"sig": "%"})), UNREADABLE),
    "an envelope with a signature of three bytes": (as_referrer(lambda digest: resigned(digest, {"sig": "AAAA"})), NOT_OURS),
    "a bundle that is too long": (as_referrer(lambda digest: bundle(statement(digest), more="x" * MOST_BYTES)), UNREADABLE),
    "a payload in the older layout by another key": (as_legacy(lambda digest: signed(simple(digest), THEIRS)), NOT_OURS),
    "a payload in the older layout for another image": (as_legacy(lambda digest: signed(simple(OTHER))), COPY),
    "a payload of another type": (as_legacy(lambda digest: signed(simple(digest, type="atomic container signature"))), ATTESTED),
    "a payload without an image": (as_legacy(lambda digest: signed(simple(digest, image="x"))), COPY),
    "a payload that is no JSON": (as_legacy(lambda digest: signed(b"nonsense")), ATTESTED),
    "a payload with another one's signature": (as_legacy(lambda digest: (simple(digest), signed(simple(OTHER))[1])), NOT_OURS),
    "a payload without a signature": (as_legacy(lambda digest: (simple(digest), {})), UNREADABLE),
    "a payload with a signature that is no base64": (as_legacy(lambda digest: (simple(digest), {"dev.cosignproject.cosign/signature": "ü"})), UNREADABLE),
    "a statement passed off as a payload": (as_legacy(lambda digest: signed(statement(digest))), ATTESTED),
}  # fmt: skip


@pytest.mark.parametrize(("put", "sentence"), REFUSED.values(), ids=REFUSED)
async def test_refuses(registry: Scripted, verifier: Verifier, put: Any, sentence: str) -> None:
    digest = put_image(registry)
    put(registry, digest)
    said = await verifier.verify(registry.app, digest, ANYBODY, (by_key(),), name="it")
    assert said is not None
    assert said.startswith(f"it {sentence}")


async def test_a_signature_of_one_image_is_none_of_another_even_where_it_is_found_there(
    registry: Scripted, verifier: Verifier
) -> None:
    ours, other = put_image(registry, "ours"), put_image(registry, "other")
    put_referrers(registry, ours, artifact(registry, ours, bundle(statement(ours))))
    put_referrers(registry, other, artifact(registry, ours, bundle(statement(ours))))
    assert await verifier.verify(registry.app, ours, ANYBODY, (by_key(),), name="it") is None
    assert UNREADABLE in str(await verifier.verify(registry.app, other, ANYBODY, (by_key(),), name="it"))


# --- where they are found


def both(*puts: Put) -> Put:
    def put(registry: Scripted, digest: str) -> None:
        for each in puts:
            each(registry, digest)

    return put


def listed(registry: Scripted, digest: str, **more: Any) -> dict[str, Any]:
    return {**artifact(registry, digest, bundle(statement(digest))), **more}


def odd_referrers(*replies: Reply) -> Put:
    """A registry that gives such an answer to the referrers API; the signature is under the fallback tag."""

    def put(registry: Scripted, digest: str) -> None:
        registry.on(f"GET /v2/app/referrers/{digest}", *replies)
        put_fallback(registry, digest, listed(registry, digest))

    return put


def by_pages(registry: Scripted, digest: str) -> None:
    unlike = artifact(registry, digest, {}, kind="application/spdx+json")
    put_referrers(registry, digest, unlike, link='</v2/app/referrers/x?next=2>; rel="next"')
    page = reply(200, index_of(listed(registry, digest)), kind=INDEX)
    registry.on(f"GET /v2/app/referrers/{digest}?next=2", page)


def of_two(registry: Scripted, digest: str) -> None:
    bad = artifact(registry, digest, bundle(statement(digest), THEIRS))
    put_referrers(registry, digest, bad, listed(registry, digest))


def behind_broken_ones(registry: Scripted, digest: str) -> None:
    gone = {"mediaType": BUNDLE, "digest": OTHER, "size": 2, "artifactType": BUNDLE}
    wrong = artifact(registry, digest, bundle(statement(digest)), annotations={"a": "b"})
    registry.on(f"GET /v2/app/manifests/{wrong['digest']}", manifest(image("something else")))
    put_referrers(registry, digest, 1, {}, {"digest": "sha256:../x"}, gone, wrong, listed(registry, digest))


def as_cosign_2_with_referrers(registry: Scripted, digest: str) -> None:
    payload, notes = signed(simple(digest))
    layers = [{"mediaType": SIMPLE, **put_blob(registry, text(payload)), "annotations": notes}]
    kind = "application/vnd.dev.cosign.artifact.sig.v1+json"
    put_referrers(registry, digest, artifact(registry, digest, kind=kind, layers=layers))


def by_gitlab(registry: Scripted, digest: str) -> None:
    """The dash tag is the image itself; the signature is in the older layout."""
    registry.on(f"GET /v2/app/manifests/{digest.replace(':', '-')}", manifest(image("one")))
    put_legacy(registry, digest, signed(simple(digest)))


FOUND: dict[str, Any] = {
    "by the referrers API": lambda registry, digest: put_referrers(registry, digest, listed(registry, digest)),
    "on its second page": by_pages,
    "in a list that names no types": lambda registry, digest: put_referrers(
        registry, digest, {"digest": listed(registry, digest)["digest"]}),
    "in a list that was filtered though nobody asked": lambda registry, digest: put_referrers(
        registry, digest, listed(registry, digest), oci_filters_applied="artifactType"),
    "where the list names its predicate": lambda registry, digest: put_referrers(
        registry, digest, listed(registry, digest, annotations={"dev.sigstore.bundle.predicateType": "https://sigstore.dev/cosign/sign/v1"})),
    "as one of two, of which the first is another's": of_two,
    "behind entries that are broken, gone and not what they say": behind_broken_ones,
    "in the older layout among referrers": as_cosign_2_with_referrers,
    "by the fallback tag, where the list of referrers is empty": both(
        put_referrers, lambda registry, digest: put_fallback(registry, digest, listed(registry, digest))),
    "in the older layout, where the newer place holds another's": both(
        as_referrer(lambda digest: bundle(statement(digest), THEIRS)), as_legacy(lambda digest: signed(simple(digest)))),
    "as the second layer in the older layout": as_legacy(
        lambda digest: signed(simple(digest), THEIRS), lambda digest: signed(simple(digest))),
    "where the dash tag is the image itself, as GitLab has it": by_gitlab,
    "where referrers are a plain 404, as docker-registry has it": odd_referrers(reply(404, "404 page not found", kind="text/plain")),
    "where referrers are not acceptable, as Artifactory has it": odd_referrers(reply(406)),
    "where referrers are a bad request": odd_referrers(reply(400)),
    "where referrers are not allowed": odd_referrers(reply(405)),
    "where referrers are forbidden": odd_referrers(reply(403)),
    "where referrers are a web page": odd_referrers(reply(200, "<html>", kind="text/html")),
    "where referrers are JSON of no type": odd_referrers(reply(200, index_of(), kind="application/json")),
    "where referrers lead to a web site, as GHCR has it": odd_referrers(reply(303, location="http://127.0.0.1:9/elsewhere")),
    "where referrers are no JSON": odd_referrers(reply(200, "nonsense", kind=INDEX)),
    "where referrers are a list of nothing": odd_referrers(reply(200, {"manifests": None}, kind=INDEX)),
    "where the same page comes for ever": odd_referrers(reply(200, index_of(), kind=INDEX, link='<?a=b>; rel="next"')),
}  # fmt: skip


@pytest.mark.parametrize("put", FOUND.values(), ids=FOUND)
async def test_finds_the_signature(registry: Scripted, verifier: Verifier, put: Any) -> None:
    digest = put_image(registry)
    put(registry, digest)
    assert await verifier.verify(registry.app, digest, ANYBODY, (by_key(),), name="it") is None


NOT_LOOKED_AT: dict[str, Any] = {
    "a list of contents": lambda registry, digest: artifact(registry, digest, {}, kind="application/spdx+json"),
    "an attestation that the list names as one": lambda registry, digest: listed(
        registry, digest, annotations={"dev.sigstore.bundle.predicateType": "https://slsa.dev/provenance/v1"}),
}  # fmt: skip


@pytest.mark.parametrize("put", NOT_LOOKED_AT.values(), ids=NOT_LOOKED_AT)
async def test_does_not_fetch_what_is_no_signature(registry: Scripted, verifier: Verifier, put: Any) -> None:
    digest = put_image(registry)
    entry = put(registry, digest)
    put_referrers(registry, digest, entry)
    assert NONE in str(await verifier.verify(registry.app, digest, ANYBODY, (by_key(),), name="it"))
    assert not [line for line in registry.asked if entry["digest"] in line or "blobs" in line]


async def test_a_flood_of_signatures_costs_no_more_than_its_limit(registry: Scripted, verifier: Verifier) -> None:
    digest = put_image(registry)
    flood = [
        artifact(registry, digest, bundle(statement(digest), THEIRS), annotations={"n": str(n)}) for n in range(40)
    ]
    put_referrers(registry, digest, *flood, listed(registry, digest))
    said = await verifier.verify(registry.app, digest, ANYBODY, (by_key(),), name="it")
    assert said is not None
    assert "has more signatures than podpin looks at" in said
    assert len([line for line in registry.asked if "/blobs/" in line]) == 32


async def test_a_flood_of_empty_artifacts_costs_no_more_either(registry: Scripted, verifier: Verifier) -> None:
    digest = put_image(registry)
    put_referrers(registry, digest, *[artifact(registry, digest, annotations={"n": str(n)}) for n in range(40)])
    said = await verifier.verify(registry.app, digest, ANYBODY, (by_key(),), name="it")
    assert "more signatures than podpin looks at" in str(said)
    assert len([line for line in registry.asked if "/manifests/sha256:" in line]) == 32


async def test_a_flood_in_the_older_layout_costs_no_more_either(registry: Scripted, verifier: Verifier) -> None:
    digest = put_image(registry)
    put_legacy(registry, digest, *[signed(simple(digest, n=n), THEIRS) for n in range(40)], signed(simple(digest)))
    assert "more signatures than podpin looks at" in str(
        await verifier.verify(registry.app, digest, ANYBODY, (by_key(),), name="it")
    )
    assert len([line for line in registry.asked if "/blobs/" in line]) == 32


async def test_a_signature_within_the_limit_is_found_in_a_flood(registry: Scripted, verifier: Verifier) -> None:
    digest = put_image(registry)
    flood = [
        artifact(registry, digest, bundle(statement(digest), THEIRS), annotations={"n": str(n)}) for n in range(40)
    ]
    put_referrers(registry, digest, *flood[:31], listed(registry, digest), *flood[31:])
    assert await verifier.verify(registry.app, digest, ANYBODY, (by_key(),), name="it") is None


@pytest.mark.parametrize(
    ("answer", "error"),
    [(reply(503), Unavailable), (reply(500), Unavailable), (reply(429), Unavailable), (reply(403), Denied)],
    ids=["out of service", "a failure", "too many requests", "forbidden"],
)
async def test_a_registry_that_cannot_be_asked_says_nothing_of_the_image(
    registry: Scripted, verifier: Verifier, answer: Reply, error: type[Exception]
) -> None:
    digest = put_image(registry)
    for place in (
        f"referrers/{digest}",
        f"manifests/{digest.replace(':', '-')}",
        f"manifests/{digest.replace(':', '-')}.sig",
    ):
        registry.on(f"GET /v2/app/{place}", answer)
    with pytest.raises(error):
        await verifier.verify(registry.app, digest, ANYBODY, (by_key(),), name="it")


async def test_the_pull_secret_s_credentials_are_used(registry: Scripted, verifier: Verifier) -> None:
    digest = put_image(registry)
    put_referrers(registry, digest, listed(registry, digest))
    served = dict(registry.rules)
    challenge = reply(401, www_authenticate='Basic realm="r"')

    def guarded(replies: list[Reply]) -> Reply:
        async def answer(request: Any) -> Any:
            return await (replies[0] if "Authorization" in request.headers else challenge)(request)

        return answer

    for what, replies in {"*": [missing()], **served}.items():
        registry.on(what, guarded(replies))
    assert await verifier.verify(registry.app, digest, access(registry.host), (by_key(),), name="it") is None
    with pytest.raises(Denied):
        await Verifier(verifier._registry).verify(registry.app, digest, ANYBODY, (by_key(),), name="it")


# --- what is remembered


async def test_what_was_verified_is_not_asked_for_again(registry: Scripted, verifier: Verifier) -> None:
    digest = put_image(registry)
    put_referrers(registry, digest, listed(registry, digest))
    assert await verifier.verify(registry.app, digest, ANYBODY, (by_key(),), name="it") is None
    asked = len(registry.asked)
    registry.on("*", missing())
    assert await verifier.verify(registry.app, digest, ANYBODY, (by_key(),), name="it") is None
    assert len(registry.asked) == asked


async def test_a_signature_may_come_after_its_image(registry: Scripted, verifier: Verifier) -> None:
    digest = put_image(registry)
    assert NONE in str(await verifier.verify(registry.app, digest, ANYBODY, (by_key(),), name="it"))
    put_referrers(registry, digest, listed(registry, digest))
    assert await verifier.verify(registry.app, digest, ANYBODY, (by_key(),), name="it") is None


async def test_what_one_key_has_verified_holds_for_no_other(registry: Scripted, verifier: Verifier) -> None:
    digest = put_image(registry)
    put_referrers(registry, digest, listed(registry, digest))
    assert await verifier.verify(registry.app, digest, ANYBODY, (by_key(),), name="it") is None
    assert NOT_OURS in str(await verifier.verify(registry.app, digest, ANYBODY, (by_key(pem(THEIRS)),), name="it"))


# --- index and platforms


def put_index(registry: Scripted) -> tuple[str, list[str]]:
    children = [put_image(registry, "amd64"), put_image(registry, "arm64")]
    attested = put_image(registry, "attestation")
    entries = [{"digest": child, "platform": {"os": "linux", "architecture": name}}
               for child, name in zip(children, ("amd64", "arm64"), strict=True)]  # fmt: skip
    entries.append({"digest": attested, "platform": {"os": "unknown", "architecture": "unknown"}})
    return registry.serves("1", index_of(*entries), INDEX), children


SUBJECTS = [
    ("index", "nothing", False), ("index", "index", True), ("index", "one", False), ("index", "children", False),
    ("platform", "nothing", False), ("platform", "index", False), ("platform", "one", False), ("platform", "children", True),
    ("either", "nothing", False), ("either", "index", True), ("either", "one", False), ("either", "children", True),
]  # fmt: skip


@pytest.mark.parametrize(("subject", "signs", "verified"), SUBJECTS)
async def test_the_subject_is_the_index_or_every_platform_in_it(
    registry: Scripted, verifier: Verifier, subject: str, signs: str, verified: bool
) -> None:
    digest, children = put_index(registry)
    for each in {"nothing": [], "index": [digest], "one": children[:1], "children": children}[signs]:
        put_referrers(registry, each, listed(registry, each))
    said = await verifier.verify(registry.app, digest, ANYBODY, (by_key(subject=subject),), name="it")
    assert (said is None) is verified
    assert said is None or said.startswith("it has no signature, and must be signed by")


@pytest.mark.parametrize("subject", ["index", "platform", "either"])
async def test_an_image_without_an_index_is_its_own_platform(
    registry: Scripted, verifier: Verifier, subject: str
) -> None:
    digest = put_image(registry)
    put_referrers(registry, digest, listed(registry, digest))
    assert await verifier.verify(registry.app, digest, ANYBODY, (by_key(subject=subject),), name="it") is None


@pytest.mark.parametrize("subject", ["platform", "either"])
async def test_one_platform_that_is_not_signed_is_enough_to_know(
    registry: Scripted, verifier: Verifier, subject: str
) -> None:
    digest, children = put_index(registry)
    await verifier.verify(registry.app, digest, ANYBODY, (by_key(subject=subject),), name="it")
    assert any(children[0].removeprefix("sha256:") in line for line in registry.asked)
    assert not any(children[1].removeprefix("sha256:") in line for line in registry.asked)


async def test_many_demands_share_one_search(registry: Scripted, verifier: Verifier) -> None:
    digest, shared = put_image(registry), dict[str, object]()
    put_referrers(registry, digest, listed(registry, digest))
    alone = by_key(KEYS["rsa-2048"])
    await verifier.verify(registry.app, digest, ANYBODY, (alone,), name="it", shared=shared)
    registry.seen.clear()
    assert await verifier.verify(registry.app, digest, ANYBODY, (by_key(),), name="it", shared=shared) is None
    assert registry.asked == []


ODD_INDEXES = {
    "no platforms": [],
    "too many": [{"digest": f"sha256:{number:064x}"} for number in range(65)],
    "one whose digest podpin does not read": [{"digest": f"sha512:{'a' * 128}"}],
    "one that is no object": [1],
}


@pytest.mark.parametrize("entries", ODD_INDEXES.values(), ids=ODD_INDEXES)
async def test_an_index_whose_platforms_cannot_all_be_looked_at_is_not_verified(
    registry: Scripted, verifier: Verifier, entries: list[Any]
) -> None:
    digest = registry.serves("1", index_of(*entries), INDEX)
    assert await verifier.verify(registry.app, digest, ANYBODY, (by_key(subject="platform"),), name="it") is not None
    assert len(registry.asked) == 1
