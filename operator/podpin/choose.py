"""`podpin choose`: try a policy from a terminal, without a cluster.

It asks the same functions as the operator does, with the tags that the registry has now or that stand on standard
input, and says what it would take and, if asked, why not the others.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from podpin.adapters.registry.client import RegistryClient
from podpin.adapters.signatures import Verifier
from podpin.clock import now
from podpin.core.flaws import is_rollout, spec_schema
from podpin.core.keyring import Access, Keyring, KeyringInvalid, SecretData
from podpin.core.policy import NO_TIMES, Choice, choose, dated, explain, limit_of, needs_tags, needs_times
from podpin.core.policy.choice import NoMatch
from podpin.core.policy.terms import NO_TERMS, Terms, object_to, sentence
from podpin.core.reference import ReferenceInvalid, parse_repository, parse_tag, pin
from podpin.core.spec import Problem, SpecInvalid, parse_image, parse_spec, problem_of
from podpin.core.structure import without_nulls
from podpin.documents import Document, documents_in
from podpin.errors import PodpinError, Unavailable
from podpin.inquiry import AHEAD

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from podpin.core.image import Facts
    from podpin.core.reference import Repository
    from podpin.core.spec.images import ImageSpec

RUNNERS_UP: Final = 10
SHOWN: Final = 20
"""How many of the tags that are passed over are shown as text; JSON has all."""

EPILOG: Final = """\
Exit status: 0 when an image was chosen, 1 when none was, 2 when the question was not understood.

examples:
  podpin choose -f rollout.yaml
  podpin choose registry.example.com/shop/web --semver ">=1.4 <2" --explain
  git tag | podpin choose shop/web --semver "^2" --tags -
  podpin choose registry.example.com/shop/web --newest --include "^main-" --limit 20 --explain
  podpin choose shop/web --numeric asc --include "^main-([0-9]+)-" --extract '$1' -o json
"""


class Refused(Exception):  # noqa: N818 -- named for what happened to the question
    """The question cannot be answered as it was asked; the text says why."""


def main(arguments: Sequence[str]) -> int:
    """Answer, and return the exit status."""
    asked = parser()
    given = asked.parse_args(arguments)
    try:
        image = _image(given)
        answer = asyncio.run(_answer(image, given))
    except Refused as refusal:
        asked.error(str(refusal))
    except (PodpinError, SpecInvalid) as error:
        print(f"podpin choose: {error}", file=sys.stderr)
        return 2 if isinstance(error, SpecInvalid) else 1
    try:
        if given.output == "text" and not answer["image"]:
            print(answer["reason"], file=sys.stderr)
        said = json.dumps(answer, indent=2) if given.output == "json" else _text(answer)
        if said:
            print(said, flush=True)
    except BrokenPipeError:  # who reads it has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0 if answer["image"] else 1


def parser() -> argparse.ArgumentParser:
    """What can be asked."""
    parser = argparse.ArgumentParser(
        prog="podpin choose",
        description="Say which image a policy takes: that of an ImageRollout in a file, or one given by flags.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("repository", nargs="?", metavar="REPOSITORY", help="the repository, where no file is given")
    add("-f", "--filename", metavar="FILE", help="a file with an ImageRollout; - is standard input")
    add("--container", metavar="NAME", help="the container to choose for, where the ImageRollout has several")
    policies = parser.add_mutually_exclusive_group()
    policies.add_argument("--semver", metavar="RANGE", help="the highest version in the range")
    policies.add_argument("--numeric", choices=("asc", "desc"), help="the highest number, or the lowest")
    policies.add_argument(
        "--alphabetical", choices=("asc", "desc"), help="the last tag by its characters, or the first"
    )
    policies.add_argument("--newest", action="store_true", help="the image that was built last")
    policies.add_argument("--tag", metavar="NAME", help="the tag of this name")
    add("--include", metavar="PATTERN", help="only tags in which this is found (RE2)")
    add("--exclude", metavar="PATTERN", action="append", default=[], help="no tags in which this is found; repeatable")
    add("--extract", metavar="TEMPLATE", help="what the policy reads of a tag: groups of --include, as in $1")
    add("--limit", metavar="NUMBER", type=int, help="how many tags are looked into, or candidates tried, at most")
    add("--platform", metavar="OS/ARCH", action="append", default=[], help="what it must be there for; repeatable")
    add("--min-age", metavar="DURATION", help="how long ago it must have been built, as in 30m")
    add(
        "--tags",
        metavar="FILE",
        help="take the tags from this file, one a line, and ask no registry; - is standard input",
    )
    add("--explain", action="store_true", help="say why not the others")
    add("-o", "--output", choices=("text", "json"), default="text", help="how to print the answer (default: text)")
    add("--docker-config", metavar="FILE", help="credentials, as docker login writes them (default: none)")
    add(
        "--public-key",
        metavar="SECRET=FILE",
        action="append",
        default=[],
        help="the public key that verify finds in this Secret; repeatable",
    )
    add("--sigstore-trusted-root", metavar="FILE", type=Path, help="trusted_root.json to verify identities by")
    add("--ca", metavar="FILE", help="certificates in PEM to trust for this registry")
    add("--insecure-registry", metavar="HOST[:PORT]", action="append", default=[], help="speak plain HTTP to it")
    return parser


def _image(given: argparse.Namespace) -> ImageSpec:
    """What the question is about."""
    by_flags = {name: getattr(given, name) for name in ("semver", "numeric", "alphabetical", "newest", "tag")}
    filters = (given.include, given.extract, given.limit is not None, *given.exclude)
    closer = (given.min_age, *given.platform)
    if given.filename is not None:
        if given.repository or any(by_flags.values()) or any(filters) or any(closer):
            raise Refused("the file says what to choose: leave out REPOSITORY, the policy and what narrows it")
        if given.filename == given.tags == "-":
            raise Refused("only one of -f and --tags can be standard input")
        return _image_in(_read(given.filename), given.container)
    if given.repository is None:
        raise Refused("give an ImageRollout with -f, or a REPOSITORY and a policy")
    fields = {"semver": "range", "numeric": "order", "alphabetical": "order", "tag": "name"}
    policy: dict[str, Any] = {
        name: {fields[name]: value} for name, value in by_flags.items() if name in fields and value is not None
    }
    if given.newest:
        policy["newest"] = {}
    if not policy:
        raise Refused("give a policy: one of --semver, --numeric, --alphabetical, --newest and --tag")
    raw: dict[str, Any] = {"container": "app", "repository": given.repository, "policy": policy}
    raw |= {"platforms": given.platform} if given.platform else {}
    raw |= {"minAge": given.min_age} if given.min_age else {}
    if any(filters):
        tags = {
            "include": given.include,
            "exclude": given.exclude,
            "extract": given.extract,
            "limit": given.limit,
        }
        raw["tags"] = {name: value for name, value in tags.items() if value not in (None, [])}
    return parse_image(raw)


def _image_in(text: str, container: str | None) -> ImageSpec:
    rollouts = []
    for one in documents_in(text, "the file"):
        if not isinstance(one, Document):
            raise Refused("the file is no YAML")
        rollouts += [one.body] if is_rollout(one.body) else []
    if len(rollouts) != 1:
        raise Refused(f"the file must hold one ImageRollout; it holds {len(rollouts)}")
    body = rollouts[0].get("spec")
    spec = parse_spec(without_nulls(spec_schema(), body) if isinstance(body, dict) else {})
    problem = problem_of(spec)
    if isinstance(problem, Problem):
        raise SpecInvalid(problem.message)
    images = [image for image in spec.images if container in (None, image.container)]
    if len(images) != 1:
        names = ", ".join(image.container for image in spec.images)
        raise Refused(f"say by --container which one: the ImageRollout chooses for {names}")
    return images[0]


async def _answer(image: ImageSpec, given: argparse.Namespace) -> dict[str, Any]:
    repository = parse_repository(image.repository)
    answer: dict[str, Any] = {"repository": str(repository), "tag": None, "digest": None, "image": None}
    registry = RegistryClient(insecure_hosts=frozenset(given.insecure_registry))
    try:
        look = _Look(
            registry,
            repository,
            _access(given),
            image,
            trusted_root=given.sigstore_trusted_root,
            asks=given.tags is None,
            describes=given.explain,
        )
        tags: Sequence[str] = ()
        if needs_tags(image.selection):
            tags = await look.list() if look.asks else _tags_in(_read(given.tags))
        elif not look.asks:
            raise Refused("this policy does not choose among tags: leave out --tags")
        answer |= await look.choose(tags)
        if given.explain:
            answer |= look.explain(tags)
    finally:
        await registry.close()
    return answer


class _Look:
    """One look at a repository on behalf of one image, as the operator would take it.

    It `asks` the registry, or not, and `describes` the image that is chosen, or not.
    """

    def __init__(
        self,
        registry: RegistryClient,
        repository: Repository,
        access: Access,
        image: ImageSpec,
        *,
        trusted_root: Path | None,
        asks: bool,
        describes: bool,
    ) -> None:
        self.asks = asks
        self._describes = describes
        self._registry, self._repository, self._access = registry, repository, access
        self._verifier = Verifier(registry, trusted_root)
        self._image = image
        self._times: Mapping[str, datetime] = NO_TIMES
        self._passed: dict[str, str] = {}
        self._dated: set[str] | None = None
        self._undated: dict[str, str] = {}
        if not asks and (needs_times(image.selection) or image.platforms or image.min_age or image.verify):
            raise Refused("newest, platforms, minAge and verify are asked of a registry: leave out --tags")

    async def list(self) -> tuple[str, ...]:
        return await self._registry.list_tags(self._repository, self._access)

    async def choose(self, tags: Sequence[str]) -> dict[str, Any]:
        """The choice, or why there is none."""
        selection = self._image.selection
        if needs_times(selection):
            names = dated(selection, tags)
            if isinstance(names, NoMatch):
                return {"reason": names.message}
            self._dated = set(names)
            self._times = {tag: built for tag in names if (built := await self._built(tag)) is not None}
        for _ in range(limit_of(selection)):
            found = choose(selection, [tag for tag in tags if tag not in self._passed], self._times)
            if isinstance(found, NoMatch):
                return {"reason": self._reason() if self._passed else found.message}
            if not self.asks or found.tag is None:
                return self._told(found, found.digest, None)
            image = self._image
            terms = Terms(platforms=image.platforms, min_age=image.min_age, verify=image.verify)
            if terms == NO_TERMS and not self._describes:
                digest = await self._registry.resolve(self._repository, found.tag, self._access)
                return self._told(found, digest, None)
            digest, facts = await self._facts(found.tag)
            objection = await self._objection(terms, found.tag, digest, facts)
            if objection is None:
                return self._told(found, digest, facts)
            self._passed[found.tag] = objection
            if not tags:
                break
        return {"reason": self._reason()}

    async def _objection(self, terms: Terms, tag: str, digest: str, facts: Facts) -> str | None:
        name = f"tag {tag}"
        objection = object_to(terms, terms.platforms, name, facts, now())
        if objection is not None:
            return objection.message
        if not terms.verify:
            return None
        return await self._verifier.verify(self._repository, digest, self._access, terms.verify, name=name)

    def _reason(self) -> str:
        """Why not even the best one is taken."""
        return sentence(next(iter(self._passed.values())))

    async def _built(self, tag: str) -> datetime | None:
        """When a tag's image was built, as far as it says so and can be believed."""
        try:
            built = (await self._facts(tag))[1].created
        except Unavailable:
            raise
        except PodpinError:
            return None
        if built is not None and built > now() + AHEAD:
            self._undated[tag] = "the time at which it says that it was built lies in the future"
            return None
        return built

    async def _facts(self, tag: str) -> tuple[str, Facts]:
        digest = await self._registry.resolve(self._repository, tag, self._access)
        return digest, await self._registry.inspect(self._repository, digest, self._access, self._image.platforms)

    def _told(self, found: Choice, digest: str | None, facts: Facts | None) -> dict[str, Any]:
        repository = self._image.repository
        shown = pin(repository, found.tag, digest) if digest else f"{repository}:{found.tag}"
        about: dict[str, Any] = {}
        if facts is not None:
            about = {
                "sizeBytes": facts.size,
                "platforms": list(facts.platforms),
                "created": facts.created.isoformat() if facts.created else None,
                "base": facts.base,
            }
        return {"tag": found.tag, "digest": digest, "image": shown, **about}

    def explain(self, tags: Sequence[str]) -> dict[str, Any]:
        """Why not the others."""
        if not tags:
            return {"runnersUp": [], "furtherFitting": 0, "passedOver": self._passed}
        left = [tag for tag in tags if tag not in self._passed]
        ranked, reasons = explain(self._image.selection, left, RUNNERS_UP + 1, self._times)
        reasons |= {tag: why for tag, why in self._undated.items() if tag in reasons}
        if self._dated is not None:
            unseen = reasons.keys() - self._dated
            reasons |= {tag: "it is not among the last ones, by tags.limit" for tag in left if tag in unseen}
        rest = len(set(left)) - len(ranked) - len(reasons)
        return {"runnersUp": ranked[1:], "furtherFitting": rest, "passedOver": self._passed | reasons}


def _access(given: argparse.Namespace) -> Access:
    ca = _read(given.ca).encode() if given.ca else None
    keys = tuple(_public_key(pair) for pair in given.public_key)
    if given.docker_config is None:
        return Access(ca=ca, keys=keys)
    data = {".dockerconfigjson": _read(given.docker_config).encode()}
    try:
        keyring = Keyring.of_secrets([SecretData(given.docker_config, "kubernetes.io/dockerconfigjson", data)])
    except KeyringInvalid as error:
        raise Refused(str(error)) from None
    return Access(keyring, ca, keys)


def _public_key(pair: str) -> tuple[str, bytes]:
    name, _, path = pair.partition("=")
    if not name or not path:
        raise Refused(f"--public-key must be SECRET=FILE, not {pair!r}")
    return name, _read(path).encode()


def _tags_in(text: str) -> list[str]:
    tags = text.split()
    try:
        for tag in tags:
            parse_tag(tag)
    except ReferenceInvalid as error:
        raise Refused(f"among the tags: {error}") from None
    return tags


def _read(path: str) -> str:
    try:
        return sys.stdin.read() if path == "-" else Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise Refused(f"{path} cannot be read: {reason}") from None


def _megabytes(size: int | None) -> str | None:
    return None if size is None else f"{size / 1e6:.1f} MB to pull"


def _text(answer: dict[str, Any]) -> str:
    lines: list[str] = [answer["image"]] if answer["image"] else []
    if "passedOver" not in answer:
        return "\n".join(lines)
    about = {
        "size": _megabytes(answer.get("sizeBytes")),
        "platforms": ", ".join(answer.get("platforms") or ()),
        "built": answer.get("created"),
        "base": answer.get("base"),
    }
    lines += [f"  {what}: {said}" for what, said in about.items() if said]
    told = [(tag, f"fits; {answer['tag']} comes before it") for tag in answer["runnersUp"]]
    told += list(answer["passedOver"].items())[:SHOWN]
    width = max((len(tag) for tag, _ in told), default=0)
    lines += [f"  {tag:{width}}  {why}" for tag, why in told]
    if answer["furtherFitting"]:
        lines.append(f"  {answer['furtherFitting']} more fit and come after these")
    if (hidden := len(answer["passedOver"]) - SHOWN) > 0:
        lines.append(f"  {hidden} more are passed over; -o json shows them")
    return "\n".join(lines)
