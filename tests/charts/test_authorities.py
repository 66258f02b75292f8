"""The chart's registries.ca works by SSL_CERT_FILE: podpin's connections to registries go by that file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding
from tests.adapters.registry.scripted import Authority

from podpin.adapters.registry import transport

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def trusted(ca: bytes | None = None) -> list[bytes]:
    """The authorities that a connection to a registry believes."""
    return transport._tls(ca).get_ca_certs(binary_form=True)


def test_the_file_takes_the_place_of_the_images_own_authorities(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority.create(tmp_path)
    (tmp_path / "all.crt").write_bytes(authority.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "all.crt"))
    assert trusted() == [authority.certificate.public_bytes(Encoding.DER)]


def test_a_rollouts_own_authority_comes_on_top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority.create(tmp_path)
    (tmp_path / "none.crt").touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.crt"))
    assert trusted() == []
    assert trusted(authority.pem) == [authority.certificate.public_bytes(Encoding.DER)]
