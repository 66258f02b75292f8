"""What differs between two releases: a unified diff of their images, digests and templates, as YAML."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml
from rich.text import Text

from podpin.core.reference import ReferenceInvalid, parse_pin
from podpin.core.release import Images

STYLES: Final = {"+": "green", "-": "red", "@": "cyan"}


def document(images: Images, template: Mapping[str, Any] | None) -> str:
    """A release as it is compared; without its template where that may not be read."""
    told: dict[str, Any] = {"images": {container: _parts(image) for container, image in images}}
    if template is not None:
        told["template"] = template
    return str(yaml.safe_dump(told, sort_keys=True, allow_unicode=True, width=1000))


def _parts(image: str) -> dict[str, str]:
    try:
        pin = parse_pin(image)
    except ReferenceInvalid:
        return {"image": image}
    named = f"{pin.repository}:{pin.tag}" if pin.tag else str(pin.repository)
    return {"image": named, "digest": str(pin.digest)}


def difference(old: tuple[str, str], new: tuple[str, str]) -> Iterator[Text]:
    """The lines of the diff of two named documents; none where they are the same."""
    (before, one), (after, other) = old, new
    lines = difflib.unified_diff(one.splitlines(), other.splitlines(), before, after, lineterm="")
    for line in lines:
        style = "bold" if line.startswith(("---", "+++")) else STYLES.get(line[:1], "")
        yield Text(line, style=style)
