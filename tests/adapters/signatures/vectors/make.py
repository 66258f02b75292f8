"""How cosign.json was made: images in a docker-registry on loopback, signed by cosign itself with keys of each kind.

    python make.py COSIGN > cosign.json

COSIGN is a cosign 3 program (`go build github.com/sigstore/cosign/v3/cmd/cosign`). The file holds the signed images,
the public keys, and by key and layout all that cosign left in the registry: manifests by the name under which they are
found, and blobs. Tests read it, so that they need neither cosign nor a registry.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

KEYS: dict[str, Callable[[], ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey]] = {
    "ecdsa-p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ecdsa-p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ecdsa-p521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "rsa-2048": lambda: rsa.generate_private_key(65537, 2048),
    "rsa-4096": lambda: rsa.generate_private_key(65537, 4096),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}
LAYOUTS = {"legacy": ["--new-bundle-format=false"], "bundle": ["--new-bundle-format=true"]}
IMAGE = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
QUIET = ["--tlog-upload=false", "--use-signing-config=false", "--yes", "--allow-http-registry"]


class Registry:
    """Just enough of a client to push an image and read all that is beside it."""

    def __init__(self, host: str) -> None:
        self.host = host

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[bytes, Any]:
        url = path if path.startswith("http") else f"http://{self.host}/v2/app/{path}"
        named = {"Content-Type": "application/octet-stream"}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        with urllib.request.urlopen(urllib.request.Request(url, body, named, method=method)) as answer:
            return answer.read(), answer.headers

    def put_blob(self, content: bytes) -> dict[str, Any]:
        where = self.ask("POST", "blobs/uploads/", b"")[1]["Location"]
        self.ask("PUT", f"{where}&digest={digest_of(content)}", content)
        return {"mediaType": "application/octet-stream", "digest": digest_of(content), "size": len(content)}

    def put_image(self, name: str) -> str:
        blob = self.put_blob(name.encode())
        body = json.dumps({"schemaVersion": 2, "mediaType": IMAGE, "config": blob, "layers": [blob]}).encode()
        self.ask("PUT", f"manifests/{digest_of(body)}", body, Content_Type=IMAGE)
        return body.decode()

    def gather(self, name: str, manifests: dict[str, str], blobs: dict[str, str]) -> None:
        """Read a manifest, what it lists, and the blobs of its layers."""
        body, _ = self.ask("GET", f"manifests/{name}", Accept=f"{IMAGE}, {INDEX}")
        manifests[name] = body.decode()
        content = json.loads(body)
        for entry in content.get("manifests", []):
            self.gather(entry["digest"], manifests, blobs)
        for layer in content.get("layers", []):
            blobs[layer["digest"]] = self.ask("GET", f"blobs/{layer['digest']}")[0].decode()


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def sign(cosign: str, registry: Registry, directory: Path) -> dict[str, Any]:
    made: dict[str, Any] = {"keys": {}, "signed": {}}
    environment = {**os.environ, "COSIGN_PASSWORD": "", "HOME": str(directory)}
    for name, generate in KEYS.items():
        pem = directory / f"{name}.pem"
        pem.write_bytes(
            generate().private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        subprocess.run(
            [cosign, "import-key-pair", "--yes", "--key", str(pem), "--output-key-prefix", str(directory / name)],
            check=True, env=environment, stdout=sys.stderr,
        )  # fmt: skip
        made["keys"][name] = (directory / f"{name}.pub").read_text()
        for layout, how in LAYOUTS.items():
            image = registry.put_image(f"{name} {layout}")
            digest = digest_of(image.encode())
            subprocess.run(
                [cosign, "sign", "--key", f"{directory / name}.key", *QUIET, *how, f"{registry.host}/app@{digest}"],
                check=True, env=environment, stdout=sys.stderr,
            )  # fmt: skip
            manifests: dict[str, str] = {}
            blobs: dict[str, str] = {}
            tag = digest.replace(":", "-")
            registry.gather(f"{tag}.sig" if layout == "legacy" else tag, manifests, blobs)
            made["signed"][f"{name} {layout}"] = {"image": image, "manifests": manifests, "blobs": blobs}
    statement = directory / "sbom.json"
    statement.write_text('{"spdxVersion": "SPDX-2.3"}')
    image = registry.put_image("attested")
    digest = digest_of(image.encode())
    subprocess.run(
        [cosign, "attest", "--key", str(directory / "ecdsa-p256.key"), *QUIET, "--new-bundle-format=true",
         "--type", "spdxjson", "--predicate", str(statement), f"{registry.host}/app@{digest}"],
        check=True, env=environment, stdout=sys.stderr,
    )  # fmt: skip
    manifests, blobs = {}, {}
    registry.gather(digest.replace(":", "-"), manifests, blobs)
    made["signed"]["ecdsa-p256 attestation"] = {"image": image, "manifests": manifests, "blobs": blobs}
    return made


def main(cosign: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        config = directory / "registry.json"
        storage = {"filesystem": {"rootdirectory": str(directory / "images")}}
        config.write_text(json.dumps({"version": 0.1, "storage": storage, "http": {"addr": "127.0.0.1:0"}}))
        server = subprocess.Popen(
            ["docker-registry", "serve", str(config)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        try:
            assert server.stderr is not None
            for line in server.stderr:
                if found := re.search(rb"listening on ([0-9.]+:[0-9]+)", line):
                    break
            assert found is not None
            # Its log goes on and must be read, or it stands still.
            threading.Thread(target=server.stderr.read, daemon=True).start()
            made = sign(cosign, Registry(found[1].decode()), directory)
        finally:
            server.kill()
    print(json.dumps(made, indent=1, sort_keys=True))


main(sys.argv[1])
