"""Credentials: the kubelet's matching, and Secrets as users write them."""

from __future__ import annotations

import base64
import json
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpin.core.keyring import (
    DOCKER_CFG,
    DOCKER_CONFIG_JSON,
    Access,
    Credential,
    Keyring,
    KeyringInvalid,
    SecretData,
    key_matches,
)
from podpin.core.reference import Repository, parse_repository

SECRET = "hunter2"


def docker_config(auths: Any, name: str = "pull") -> SecretData:
    return SecretData(name, DOCKER_CONFIG_JSON, {".dockerconfigjson": json.dumps({"auths": auths}).encode()})


def entry(user: str) -> dict[str, str]:
    return {"username": user, "password": f"{user}-password"}


def users(keyring: Keyring, repository: str) -> list[str]:
    return [credential.username for credential in keyring.lookup(parse_repository(repository))]


MATCHES = {
    "the host itself": ("r.io", "r.io/app", True),
    "another host": ("r.io", "q.io/app", False),
    "a host that only begins alike": ("r.io", "r.io.evil/app", False),
    "a host that only ends alike": ("r.io", "evil-r.io/app", False),
    "a star stands for one label": ("*.r.io", "eu.r.io/app", True),
    "a star does not stand for no label": ("*.r.io", "r.io/app", False),
    "a star does not stand for two labels": ("*.r.io", "a.b.r.io/app", False),
    "a star within a label": ("eu-*.r.io", "eu-west.r.io/app", True),
    "a star in the last label": ("r.*", "r.io/app", True),
    "two stars": ("*.*.r.io", "a.b.r.io/app", True),
    "stars with text between them": ("a*b*c.io", "aXbYc.io/app", True),
    "stars with text in the wrong order": ("a*c*b.io", "aXbYc.io/app", False),
    "the ends of a pattern do not overlap": ("ab*ba.io", "aba.io/app", False),
    "a question mark": ("r?.io", "r1.io/app", True),
    "a question mark needs a character": ("r?.io", "r.io/app", False),
    "a range": ("r[0-3].io", "r2.io/app", True),
    "outside a range": ("r[0-3].io", "r7.io/app", False),
    "a negated range": ("r[^0-3].io", "r7.io/app", True),
    "an escaped star is a star": (r"r\*.io", "rx.io/app", False),
    "a malformed pattern matches nothing": ("r[.io", "r[.io/app", False),
    "the same port": ("r.io:5000", "r.io:5000/app", True),
    "another port": ("r.io:5000", "r.io:5001/app", False),
    "a port that the key lacks": ("r.io", "r.io:5000/app", False),
    "a port that the target lacks": ("r.io:443", "r.io/app", False),
    "a path": ("r.io/team", "r.io/team/app", True),
    "another path": ("r.io/team", "r.io/other/app", False),
    "a path is only a beginning, even within a word": ("r.io/pong", "r.io/pongz", True),
    "a star in the path is a star": ("r.io/*/app", "r.io/team/app", False),
    "IPv6 with its port": ("[fd00::1]:5000", "[fd00::1]:5000/app", True),
    "capitals differ": ("R.io", "r.io/app", False),
}


@pytest.mark.parametrize(("key", "target", "expected"), MATCHES.values(), ids=MATCHES)
def test_matches_as_the_kubelet_does(key: str, target: str, expected: bool) -> None:
    assert key_matches(key, target) is expected


KEYS = {
    "a bare host": ("r.io", "r.io/app"),
    "https": ("https://r.io", "r.io/app"),
    "http": ("http://r.io", "r.io/app"),
    "a slash at the end": ("https://r.io/", "r.io/app"),
    "the API's version 1": ("https://r.io/v1/", "r.io/app"),
    "the API's version 2": ("r.io/v2/", "r.io/app"),
    "the API's version before a path": ("https://r.io/v2/team", "r.io/team/app"),
    "a query": ("https://r.io?x=1", "r.io/app"),
    "a user in the URL": ("https://me@r.io", "r.io/app"),
    "the Hub under its old key": ("https://index.docker.io/v1/", "redis"),
    "the Hub under its name": ("docker.io", "acme/app"),
    "the Hub with a path": ("docker.io/acme", "acme/app"),
}


@pytest.mark.parametrize(("key", "repository"), KEYS.values(), ids=KEYS)
def test_reads_every_spelling_of_a_key(key: str, repository: str) -> None:
    assert users(Keyring.of_secrets([docker_config({key: entry("me")})]), repository) == ["me"]


def test_a_version_without_a_slash_after_it_is_a_path() -> None:
    keyring = Keyring.of_secrets([docker_config({"r.io/v2": entry("me")})])
    assert users(keyring, "r.io/app") == []
    assert users(keyring, "r.io/v2/app") == ["me"]


def test_keys_that_are_no_hosts_are_passed_over() -> None:
    keyring = Keyring.of_secrets([docker_config({"r.io:http": entry("a"), "r.io/%zz": entry("b"), "a b": entry("c")})])
    assert keyring.entries == ()


def test_all_matches_are_tried_in_reverse_lexical_order() -> None:
    auths = {"r.io": entry("host"), "*.io": entry("star"), "r.io/team": entry("team"), "r.io/team/app": entry("app")}
    assert users(Keyring.of_secrets([docker_config(auths)]), "r.io/team/app") == ["app", "team", "host", "star"]


def test_equal_keys_are_tried_in_the_order_of_their_secrets() -> None:
    secrets = [docker_config({"r.io": entry(user)}) for user in ("new", "old")]
    assert users(Keyring.of_secrets(secrets), "r.io/app") == ["new", "old"]
    assert users(Keyring.of_secrets(reversed(secrets)), "r.io/app") == ["old", "new"]


def test_the_same_credential_is_tried_once() -> None:
    keyring = Keyring.of_secrets([docker_config({"r.io": entry("me"), "https://r.io/v1/": entry("me")})])
    assert users(keyring, "r.io/app") == ["me"]


def test_the_hub_falls_back_to_its_old_key_only_when_nothing_else_matches() -> None:
    auths = {"https://index.docker.io/v1/": entry("old"), "docker.io/acme": entry("acme")}
    keyring = Keyring.of_secrets([docker_config(auths)])
    assert users(keyring, "acme/app") == ["acme"]
    assert users(keyring, "redis") == ["old"]
    assert users(keyring, "r.io/redis") == []


def test_without_a_match_there_is_no_credential() -> None:
    assert Keyring().lookup(Repository("r.io", "app")) == ()
    assert users(Keyring.of_secrets([docker_config({"r.io": entry("me")})]), "q.io/app") == []


AUTHS = {
    "padded": base64.b64encode(b"me:secret").decode(),
    "unpadded": base64.b64encode(b"me:secret").decode().rstrip("="),
    "broken over lines": base64.b64encode(b"me:secret").decode() + "\r\n",
}


@pytest.mark.parametrize("auth", AUTHS.values(), ids=AUTHS)
def test_reads_auth_however_it_is_padded(auth: str) -> None:
    keyring = Keyring.of_secrets([docker_config({"r.io": {"auth": auth, "username": "ignored"}})])
    assert keyring.lookup(Repository("r.io", "app")) == (Credential("me", "secret"),)


def test_a_password_may_hold_colons_and_bytes_that_are_no_text() -> None:
    auth = base64.b64encode(b"me:a:b\xff").decode()
    keyring = Keyring.of_secrets([docker_config({"r.io": {"auth": auth}})])
    (credential,) = keyring.lookup(Repository("r.io", "app"))
    assert credential.username == "me"
    assert credential.password.encode("utf-8", "surrogateescape") == b"a:b\xff"


IDENTITIES: dict[str, tuple[Any, list[Credential]]] = {
    "nothing at all": (None, []),
    "an identity token alone": ({"identitytoken": "t"}, [Credential("", "", "t")]),
    "in any case": ({"IdentityToken": "t"}, [Credential("", "", "t")]),
    "beside a password": ({"username": "me", "password": "p", "identitytoken": "t"}, [Credential("me", "p", "t")]),
    "beside auth without a password, as Azure has it": (
        {"auth": "MDAwOg==", "identitytoken": "t"},
        [Credential("000", "", "t")],
    ),
    "an empty one is none": (
        {"auth": "", "username": "me", "password": "p", "identitytoken": ""},
        [Credential("me", "p")],
    ),
    "one that is no text is none, as for the kubelet": ({"identitytoken": 7}, []),
    "one that could not be sent is none": ({"identitytoken": "\ud800"}, []),
}


@pytest.mark.parametrize(("value", "credentials"), IDENTITIES.values(), ids=IDENTITIES)
def test_an_identity_token_is_kept_beside_what_the_kubelet_reads(value: Any, credentials: list[Credential]) -> None:
    keyring = Keyring.of_secrets([docker_config({"r.io": value})])
    assert list(keyring.lookup(Repository("r.io", "app"))) == credentials
    assert "'t'" not in repr(credentials)


def test_another_identity_token_is_another_access() -> None:
    one, two = (Access(Keyring.of_secrets([docker_config({"r.io": {"identitytoken": token}})])) for token in "ab")
    repository = Repository("r.io", "app")
    assert one.fingerprint_for(repository) != two.fingerprint_for(repository)


def test_reads_the_older_kind_of_secret_and_keys_in_any_case() -> None:
    older = SecretData("old", DOCKER_CFG, {".dockercfg": json.dumps({"r.io": entry("me")}).encode()})
    assert users(Keyring.of_secrets([older]), "r.io/app") == ["me"]
    shouting = json.dumps({"AUTHS": {"r.io": {"Username": "me", "PASSWORD": "p"}}}).encode()
    newer = SecretData("new", DOCKER_CONFIG_JSON, {".dockerconfigjson": shouting})
    assert users(Keyring.of_secrets([newer]), "r.io/app") == ["me"]


def test_a_secret_without_registries_is_anonymous() -> None:
    empty = SecretData("pull", DOCKER_CONFIG_JSON, {".dockerconfigjson": b"{}"})
    assert Keyring.of_secrets([empty]) == Keyring()


def of_type(kind: str, content: bytes | None, key: str = ".dockerconfigjson") -> SecretData:
    return SecretData("shop-pull", kind, {} if content is None else {key: content})


BROKEN = {
    "a Secret of another type": (of_type("Opaque", b"{}"), "has type Opaque"),
    "a Secret without a type": (of_type("", b"{}"), "has type Opaque"),
    "no key": (of_type(DOCKER_CONFIG_JSON, None), "no key .dockerconfigjson"),
    "no key in the older kind": (of_type(DOCKER_CFG, b"{}"), "no key .dockercfg"),
    "no JSON": (of_type(DOCKER_CONFIG_JSON, SECRET.encode()), "is not JSON"),
    "no text": (of_type(DOCKER_CONFIG_JSON, b"\xff\xfe\xfd"), "is not JSON"),
    "nesting without end": (of_type(DOCKER_CONFIG_JSON, b"[" * 100_000), "is not JSON"),
    "a list": (of_type(DOCKER_CONFIG_JSON, b"[]"), "not a JSON object"),
    "registries that are a list": (docker_config([SECRET], "shop-pull"), "list of registries"),
    "an entry that is text": (docker_config({"r.io": SECRET}, "shop-pull"), "entry is not a JSON object"),
    "a password that is a number": (
        docker_config({"r.io": {"username": SECRET, "password": 7}}, "shop-pull"),
        "not a string",
    ),
    "auth that is no base64": (docker_config({"r.io": {"auth": f"{SECRET}!"}}, "shop-pull"), "not base64"),
    "auth that is not ASCII": (docker_config({"r.io": {"auth": "ä"}}, "shop-pull"), "not base64"),
    "auth without a colon": (
        docker_config({"r.io": {"auth": base64.b64encode(SECRET.encode()).decode()}}, "shop-pull"),
        "user:password",
    ),
}


@pytest.mark.parametrize(("secret", "sentence"), BROKEN.values(), ids=BROKEN)
def test_names_the_secret_and_its_flaw_but_not_its_content(secret: SecretData, sentence: str) -> None:
    with pytest.raises(KeyringInvalid) as caught:
        Keyring.of_secrets([secret])
    shown = str(caught.value)
    assert sentence in shown
    assert '"shop-pull"' in shown
    assert SECRET not in shown
    assert caught.value.__cause__ is None


def test_nothing_prints_a_password() -> None:
    keyring = Keyring.of_secrets([docker_config({"r.io": {"username": "me", "password": SECRET}})])
    access = Access(keyring, b"-----BEGIN CERTIFICATE-----")
    shown = f"{keyring} {keyring!r} {access} {access!r} {keyring.lookup(Repository('r.io', 'app'))}"
    assert SECRET not in shown
    assert "me" in shown


def test_a_fingerprint_covers_what_matters_for_the_repository() -> None:
    repository = Repository("r.io", "app")
    anonymous = Access().fingerprint_for(repository)

    def fingerprint(*auths: dict[str, Any], ca: bytes | None = None) -> str:
        return Access(Keyring.of_secrets([docker_config(each) for each in auths]), ca).fingerprint_for(repository)

    me = fingerprint({"r.io": entry("me")})
    assert len(anonymous) == 64
    assert anonymous == Access().fingerprint_for(Repository("q.io", "other"))
    assert anonymous == fingerprint({"q.io": entry("me")})
    assert me == fingerprint({"*.io": entry("me"), "q.io": entry("you")})
    different = [
        anonymous,
        me,
        fingerprint({"r.io": entry("you")}),
        fingerprint({"r.io": entry("me") | {"password": "other"}}),
        fingerprint({"r.io": entry("me")}, {"r.io": entry("you")}),
        fingerprint({"r.io": entry("you")}, {"r.io": entry("me")}),
        fingerprint(ca=b"ca"),
        fingerprint(ca=b""),
        fingerprint({"r.io": entry("me")}, ca=b"ca"),
        fingerprint({"r.io": {"username": "m", "password": "eme-password"}}),
    ]
    assert len(set(different)) == len(different)


def test_a_fingerprint_covers_what_matters_for_the_mirrors() -> None:
    source, mirror, other = (Repository(host, "app") for host in ("r.io", "m.io", "o.io"))

    def fingerprint(*mirrored: Repository, **auths: Any) -> str:
        keyring = Keyring.of_secrets([docker_config({f"{name}.io": value for name, value in auths.items()})])
        return Access(keyring).fingerprint_for(source, *mirrored)

    assert (
        fingerprint(mirror) == fingerprint() == fingerprint(mirror, o=entry("me")) == Access().fingerprint_for(source)
    )
    assert fingerprint(r=entry("me")) == fingerprint(mirror, r=entry("me"))
    different = [
        fingerprint(mirror, other),
        fingerprint(mirror, other, r=entry("me")),
        fingerprint(mirror, other, m=entry("me")),
        fingerprint(mirror, other, o=entry("me")),
        fingerprint(mirror, other, m=entry("me"), o=entry("me")),
    ]
    assert len(set(different)) == len(different)


def test_no_key_takes_long() -> None:
    started = time.perf_counter()
    for key in ("*a" * 20_000, "[" * 100_000, "?" * 100_000, "*" * 100_000 + "b", "." * 100_000):
        key_matches(key, "a" * 63 + ".io/app")
    assert time.perf_counter() - started < 5


@given(st.text(alphabet="ab*?[]^-\\", max_size=8), st.text(alphabet="ab", max_size=8))
def test_any_pattern_gives_an_answer(pattern: str, label: str) -> None:
    assert key_matches(pattern, label) in {True, False}


@given(st.text(alphabet="ab*?", max_size=8), st.text(alphabet="ab", max_size=8))
def test_stars_and_question_marks_match_as_a_regular_expression_would(pattern: str, label: str) -> None:
    expression = "".join({"*": ".*", "?": "."}.get(sign, sign) for sign in pattern)
    assert key_matches(pattern, label) is bool(re.fullmatch(expression, label))
