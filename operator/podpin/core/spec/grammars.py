"""The small grammars that fields of a spec share: names, repositories, tags, digests, platforms.

Each carries the sentence that the user reads where a value does not fit.
"""

from __future__ import annotations

from typing import Annotated, Final

from podpin.core import names
from podpin.core.schema import Text

# Labels and annotations under this prefix are podpin's own.
RESERVED_PREFIX: Final = f"{names.GROUP}/"
MAX_LABEL_KEY: Final = 253 + len("/") + 63

DnsLabel = Annotated[
    str,
    Text(
        grammar="[a-z0-9](?:[-a-z0-9]*[a-z0-9])?",
        message="must be a DNS label: lower-case letters, digits and '-', with a letter or digit at both ends",
        max_length=63,
    ),
]
DnsSubdomain = Annotated[
    str,
    Text(
        grammar=r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*",
        message="must be the name of an object: lower-case letters, digits, '-' and '.', "
        "with a letter or digit at both ends",
        max_length=253,
    ),
]
AccountName = Annotated[
    str,
    Text(
        # Empty means the default one, as in any Pod.
        grammar=r"(?:[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*)?",
        message="must be the name of a ServiceAccount: lower-case letters, digits, '-' and '.', "
        "with a letter or digit at both ends",
        max_length=253,
    ),
]
Repository = Annotated[
    str,
    Text(
        grammar=r"(?:(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?/)?"
        r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*",
        message="is not an image repository: write it as in registry.example.com/shop/web",
        max_length=255,
        hints=(
            ("://", "repository must not carry a scheme: write it as in registry.example.com/shop/web"),
            ("@", "repository must not carry a digest: put it under policy.digest"),
            (":[^/]*$", "repository must not carry a tag: put it under policy.tag"),
            (
                r"^(?:[^/]*[.:][^/]*/)?[^A-Z]*[A-Z]",
                "repository must be in lower case: registries know no capitals in a path",
            ),
        ),
    ),
]
TagName = Annotated[
    str,
    Text(
        grammar="[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}",
        message="must be one tag, such as 1.27: letters, digits, '_', '.' and '-', not beginning with '.' or '-'",
        max_length=128,
        hints=(("[:/@]", "must be the tag alone, such as 1.27: the repository has a field of its own"),),
    ),
]
DigestValue = Annotated[
    str,
    Text(
        grammar="sha256:[0-9a-f]{64}",
        message="must be sha256: and exactly 64 hexadecimal digits in lower case",
        max_length=128,
        hints=(("^[0-9A-Fa-f]{64}$", "must begin with sha256:"),),
    ),
]

Platform = Annotated[
    str,
    Text(
        grammar="[a-z0-9][a-z0-9._-]{0,31}/[a-z0-9][a-z0-9._-]{0,31}(?:/[a-z0-9][a-z0-9._-]{0,31})?",
        message="must be a platform such as linux/amd64 or linux/arm/v7",
        max_length=100,
    ),
]
