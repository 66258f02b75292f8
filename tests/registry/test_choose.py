"""`podpin choose` as a user types it, against a real registry: Debian's docker-registry."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from typing import TYPE_CHECKING, Any

import bcrypt
import pytest
from tests.adapters.registry.scripted import digest_of
from tests.adapters.signatures.signing import VECTORS
from tests.registry.conftest import blob, image

if TYPE_CHECKING:
    from pathlib import Path

    from tests.registry.conftest import RealRegistry, StartRegistry

pytestmark = pytest.mark.cluster

PAIR = base64.b64encode(b"me:hunter2").decode()


async def podpin_choose(*arguments: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "podpin",
        "choose",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_tag_and_digest_come_from_the_registry(start_registry: StartRegistry) -> None:
    registry = await start_registry()
    digests = {tag: await registry.push("shop/web", tag, image(tag)) for tag in ("1.9.0", "1.10.0", "2.0.0-rc.1")}
    repository, plain = f"{registry.host}/shop/web", ("--insecure-registry", registry.host)
    code, out, err = await podpin_choose(repository, "--semver", ">=1", *plain)
    assert (code, out, err) == (0, f"{repository}:1.10.0@{digests['1.10.0']}\n", "")
    code, out, _ = await podpin_choose(repository, "--tag", "2.0.0-rc.1", "-o", "json", *plain)
    assert (code, json.loads(out)["digest"]) == (0, digests["2.0.0-rc.1"])
    code, out, err = await podpin_choose(f"{repository}-gone", "--semver", ">=1", *plain)
    assert (code, out) == (1, "")
    assert "has no repository shop/web-gone" in err


async def test_credentials_come_from_a_docker_config(start_registry: StartRegistry, tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_text(f"me:{bcrypt.hashpw(b'hunter2', bcrypt.gensalt(4)).decode()}\n")
    auth = {"auth": {"htpasswd": {"realm": "here", "path": str(users)}}}
    registry = await start_registry(auth, authorization=f"Basic {PAIR}")
    digest = await registry.push("shop/web", "7", image("seven"))
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"auths": {registry.host: {"auth": PAIR}}}))
    question = (f"{registry.host}/shop/web", "--numeric", "asc", "--insecure-registry", registry.host)
    code, out, err = await podpin_choose(*question)
    assert (code, out) == (1, "")
    assert "without credentials" in err
    code, out, err = await podpin_choose(*question, "--docker-config", str(config))
    assert (code, out, err) == (0, f"{registry.host}/shop/web:7@{digest}\n", "")


def built(name: str, when: str, arch: str = "amd64") -> dict[str, Any]:
    """An image whose config says when it was built, and for what."""
    return image(name) | {"config": blob(json.dumps({"os": "linux", "architecture": arch, "created": when}))}


async def test_build_time_and_platform_come_from_the_image(start_registry: StartRegistry) -> None:
    registry = await start_registry()
    await registry.push("shop/web", "f3a1", built("one", "2026-01-01T00:00:00Z"))
    await registry.push("shop/web", "09bc", built("two", "2026-03-01T00:00:00Z", "arm64"))
    await registry.push("shop/web", "77de", built("three", "2026-02-01T00:00:00Z"))
    question = (f"{registry.host}/shop/web", "--newest", "--insecure-registry", registry.host, "-o", "json")
    code, out, _ = await podpin_choose(*question)
    assert (code, json.loads(out)["tag"]) == (0, "09bc")
    code, out, _ = await podpin_choose(*question, "--platform", "linux/amd64", "--explain")
    answer = json.loads(out)
    assert (code, answer["tag"], answer["platforms"]) == (0, "77de", ["linux/amd64"])
    assert (answer["created"], answer["runnersUp"]) == ("2026-02-01T00:00:00+00:00", ["f3a1"])
    assert answer["passedOver"]["09bc"].startswith("tag 09bc has no image for linux/amd64")
    code, out, _ = await podpin_choose(*question, "--min-age", "8760h")
    assert code == 1
    assert json.loads(out)["reason"] == "Tag 09bc was built less than 8760h ago."


SIGNED = """
kind: ImageRollout
spec:
  images:
  - container: app
    repository: {host}/app
    policy: {{alphabetical: {{}}}}
    verify: [{{cosign: {{publicKeySecret: shop-cosign}}}}]
  workload: {{kind: Deployment, template: {{spec: {{containers: [{{name: app}}]}}}}}}
"""


async def put(registry: RealRegistry, name: str, tag: str) -> str:
    """Push an image that cosign has signed, and its signature. Returns the image's digest."""
    made = VECTORS["signed"][name]
    contents = [made["image"], *reversed(made["manifests"].values())]  # what others refer to comes first
    async with registry._session() as session:
        for content in (name, "{}", *made["blobs"].values()):
            await registry._push_blob(session, "app", content.encode())
        for content, place in zip(contents, (tag, *reversed(made["manifests"])), strict=True):
            headers = {"Content-Type": json.loads(content)["mediaType"]}
            url = f"/v2/app/manifests/{place}"
            async with session.put(url, data=content.encode(), headers=headers) as answer:
                assert answer.status == 201, await answer.text()
    return digest_of(made["image"].encode())


async def test_what_is_not_signed_is_passed_over(start_registry: StartRegistry, tmp_path: Path) -> None:
    registry = await start_registry()
    digests = {tag: await put(registry, name, tag) for tag, name in (("a", "rsa-2048 bundle"), ("b", "ed25519 bundle"))}
    await registry.push("app", "c", image("unsigned"))
    file = tmp_path / "rollout.yaml"
    file.write_text(SIGNED.format(host=registry.host))
    question = ("-f", str(file), "--insecure-registry", registry.host, "--explain", "-o", "json")
    for tag, key in (("a", "rsa-2048"), ("b", "ed25519")):
        public = tmp_path / "cosign.pub"
        public.write_text(VECTORS["keys"][key])
        code, out, _ = await podpin_choose(*question, "--public-key", f"shop-cosign={public}")
        assert code == 0
        answer = json.loads(out)
        assert (answer["tag"], answer["digest"]) == (tag, digests[tag])
        assert answer["passedOver"]["c"].startswith("tag c has no signature, and must be signed by the key in Secret")
    code, out, err = await podpin_choose(*question)
    assert (code, out) == (1, "")
    assert "The public key in Secret shop-cosign, which verify names, is not at hand" in err
