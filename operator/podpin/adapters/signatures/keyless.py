"""Signatures that were made without a key, by an identity that sigstore's authority certified for a few minutes.

Whether the certificate, its log and the time hold together is left to the `sigstore` package: nothing of that is
checked by hand here. It is asked with a trusted root that the administrator gives as a file, so that nothing is
fetched. The package is heavy, and loaded only when it is needed for the first time.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from podpin.core.trust import Flaw, Signature
from podpin.errors import Unverifiable

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.x509 import Certificate

    from podpin.core.spec.images import SigstoreDemand


class Keyless:
    """Verifies bundles with the trusted root in a file, which is read anew when it has changed. For use in threads."""

    def __init__(self, trusted_root: Path | None) -> None:
        self._file = trusted_root
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._verifier: Any = None

    def prepare(self) -> str:
        """Load what is needed, and tell this trusted root from others.

        Raises Unverifiable where the administrator has not provided for it.
        """
        with self._lock:
            self._prepare()
            return str(self._seen)

    def flaw_in(self, signature: Signature, demand: SigstoreDemand) -> Flaw | None:
        """What is wrong with who signed this bundle's envelope, or None. What the envelope says is not looked at.

        But it is made sure that the package has read the same in it: a document that two readers take for two
        different ones would be verified as the one and believed as the other.
        """
        with self._lock:
            verifier = self._prepare()
            from sigstore.errors import Error
            from sigstore.models import Bundle

            policy = _Signer(demand)
            try:
                read = verifier.verify_dsse(Bundle.from_json(signature.bundle), policy)
            except Error:
                pass
            except Exception:
                return Flaw.UNREADABLE  # it is a stranger's, and the reader may stumble in any way
            else:
                return None if read == (signature.payload_type, signature.payload) else Flaw.UNREADABLE
            return Flaw.ANOTHER_SIGNER if policy.refused else Flaw.UNPROVEN

    def _prepare(self) -> Any:
        if self._file is None:
            raise Unverifiable(
                "To verify a sigstore identity podpin needs a trusted root; the administrator can give one by "
                "--sigstore-trusted-root."
            )
        try:
            from sigstore.models import TrustedRoot
            from sigstore.verify import Verifier
        except ImportError:
            raise Unverifiable(
                "To verify a sigstore identity podpin needs the package sigstore; the administrator can install "
                "podpin[sigstore]."
            ) from None
        try:
            stat = self._file.stat()
            seen = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            if seen != self._seen:
                self._verifier = Verifier(trusted_root=TrustedRoot.from_file(str(self._file)))
                self._seen = seen
        except Exception as error:
            self._seen = None
            raise Unverifiable(
                f"The trusted root in {self._file}, which --sigstore-trusted-root names, cannot be read; the "
                "administrator should put the trusted_root.json of a sigstore there."
            ) from error
        return self._verifier


class _Signer:
    """The policy by which the package judges a certificate: exactly this issuer, and this identity or its beginning."""

    def __init__(self, demand: SigstoreDemand) -> None:
        self._demand = demand
        self.refused = False

    def verify(self, cert: Certificate) -> None:
        """Raise sigstore's error for another signer's certificate."""
        from sigstore.errors import VerificationError
        from sigstore.verify import policy

        self.refused = True
        policy.AnyOf([policy.OIDCIssuerV2(self._demand.issuer), policy.OIDCIssuer(self._demand.issuer)]).verify(cert)
        if not any(_fits(self._demand.identity, name) for name in _names(cert)):
            raise VerificationError("another identity")
        self.refused = False


def _fits(identity: str, name: str) -> bool:
    return name.startswith(identity[:-1]) if identity.endswith("*") else name == identity


def _names(certificate: Certificate) -> list[str]:
    """The e-mail addresses and URLs that a certificate is for."""
    from cryptography import x509

    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [*names.get_values_for_type(x509.RFC822Name), *names.get_values_for_type(x509.UniformResourceIdentifier)]
