"""AWS' Signature Version 4, as far as podpin needs it: a POST of JSON to a service's root.

Written after AWS' own description ("Create a signed AWS API request"). AWS' library for Python cannot be installed
beside Kubernetes' client: the two want different versions of python-dateutil.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Keys:
    """Temporary keys of a role. Their repr shows no secret."""

    access: str
    secret: str = field(repr=False)
    session: str = field(repr=False)


def signed(
    keys: Keys, *, host: str, region: str, service: str, headers: Mapping[str, str], body: bytes, now: datetime
) -> dict[str, str]:
    """All headers of `POST / HTTP/1.1` to `host`, those given and those that sign them. `now` is in UTC."""
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    sent = {**headers, "host": host, "x-amz-date": stamp, "x-amz-security-token": keys.session}
    lines = {name.lower(): value.strip() for name, value in sent.items()}
    names = ";".join(sorted(lines))
    canonical = "\n".join(
        ("POST", "/", "", *(f"{name}:{lines[name]}" for name in sorted(lines)), "", names, _sha256(body))
    )
    text = "\n".join(("AWS4-HMAC-SHA256", stamp, scope, _sha256(canonical.encode())))
    key = f"AWS4{keys.secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"AWS4-HMAC-SHA256 Credential={keys.access}/{scope}, SignedHeaders={names}, Signature={signature}"
    return {**lines, "authorization": credential}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
