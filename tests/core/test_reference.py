"""Image names: distribution/reference's grammar and podpin's own refusals."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpin.core.reference import (
    Pin,
    Reference,
    ReferenceInvalid,
    Repository,
    parse_digest,
    parse_pin,
    parse_reference,
    parse_repository,
    parse_tag,
    pin,
)

HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"

NORMALISED = {
    "a name alone lives in Docker Hub's library": ("redis", Reference("docker.io", "library/redis")),
    "a user's name on Docker Hub gets no library": ("acme/app", Reference("docker.io", "acme/app")),
    "Docker Hub's host may be written out": ("docker.io/redis", Reference("docker.io", "library/redis")),
    "the Hub's old host is the Hub": ("index.docker.io/acme/app", Reference("docker.io", "acme/app")),
    "a dot makes a host": ("reg.example/app", Reference("reg.example", "app")),
    "a port makes a host": ("reg:5000/app", Reference("reg:5000", "app")),
    "localhost is a host": ("localhost/app", Reference("localhost", "app")),
    "capitals make a host": ("Reg/app", Reference("Reg", "app")),
    "an underscore makes no host": ("my_reg/app", Reference("docker.io", "my_reg/app")),
    "IPv6 stands in brackets": ("[fd00::1]:5000/a/b:1", Reference("[fd00::1]:5000", "a/b", "1")),
    "a colon after the last slash is a tag": ("reg:5000/app:5001", Reference("reg:5000", "app", "5001")),
    "digits after a lone name are a tag, as Docker reads it": (
        "reg:5000",
        Reference("docker.io", "library/reg", "5000"),
    ),
    "a tag may have capitals": ("app:RC.1_x-2", Reference("docker.io", "library/app", "RC.1_x-2")),
    "tag and digest stand side by side": (f"r.io/a:1@{DIGEST}", Reference("r.io", "a", "1", DIGEST)),
    "a digest needs no tag": (f"r.io/a@{DIGEST}", Reference("r.io", "a", None, DIGEST)),
    "sha512 is a digest in general": ("r.io/a@sha512:" + HEX * 2, Reference("r.io", "a", None, "sha512:" + HEX * 2)),
    "64 hexadecimal digits may follow a host": (f"docker.io/{HEX}", Reference("docker.io", f"library/{HEX}")),
    "63 hexadecimal digits are a name": (HEX[:63], Reference("docker.io", f"library/{HEX[:63]}")),
    "many hyphens, two underscores, one dot": ("r.io/a---b__c_d.e", Reference("r.io", "a---b__c_d.e")),
    "a path of 255 characters": ("r.io/" + "a" * 255, Reference("r.io", "a" * 255)),
    "punycode": ("xn--n3h.com:18080/app", Reference("xn--n3h.com:18080", "app")),
}


@pytest.mark.parametrize(("text", "expected"), NORMALISED.values(), ids=NORMALISED)
def test_reads_and_normalises(text: str, expected: Reference) -> None:
    assert parse_reference(text) == expected
    assert parse_reference(str(expected)) == expected


REFUSED = {
    "nothing": "",
    "a tag alone": ":tag",
    "a digest alone": f"@{DIGEST}",
    "a scheme": "https://r.io/app",
    "capitals in the path": "r.io/App",
    "a capital name alone": "App:1",
    "64 hexadecimal digits alone": HEX,
    "an empty part": "r.io/a//b",
    "a slash at the end": "r.io/a/",
    "a hyphen at the edge": "-r.io/a",
    "a dot after an underscore": "r.io/a_.b",
    "three underscores": "r.io/a___b",
    "two dots": "r.io/a..b",
    "IPv6 without brackets": "fc00::1:5000/app",
    "IPv6 with a zone": "[fe80::1%eth0]:5000/app",
    "IPv6 and nothing else": "[fc00::1]:5000",
    "an IPv4 address within IPv6": "[::ffff:192.0.2.3]/app",
    "a newline at the end": "r.io/app\n",
    "a digest with a newline at the end": f"r.io/app@{DIGEST}\n",
    "letters that only look like ASCII": "r.io/\u0430pp",
    "digits of another script": "r.io/app:\u0661",
    "a path of 256 characters": "r.io/" + "a" * 256,
    "a tag of 129 characters": "app:" + "a" * 129,
    "a tag that starts with a hyphen": "app:-1",
    "a short digest": "app@sha256:" + "f" * 34,
    "a digest in capitals": "app@sha256:" + "F" * 64,
    "an unknown kind of digest": "app@md5:" + "f" * 64,
    "two digests": f"app@{DIGEST}@{DIGEST}",
    "a host that the DNS would not take": "my_reg.example/app",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_refuses_what_names_no_image(text: str) -> None:
    with pytest.raises(ReferenceInvalid):
        parse_reference(text)
    with pytest.raises(ReferenceInvalid):
        parse_repository(text)


REPOSITORY_SENTENCES = {
    "a scheme": ("https://r.io/shop/web", "without a scheme"),
    "a tag": ("r.io/shop/web:1.2", 'has the tag "1.2" in it'),
    "a digest": (f"r.io/shop/web@{DIGEST}", "policy.digest.value"),
    "capitals": ("r.io/shop/Web", "capital letters"),
    "a blank": (" r.io/shop/web", "blanks"),
    "a line break": ("r.io/shop/web\n", "blanks"),
    "nothing": ("", "is empty"),
    "a host with a port, which could be a tag": ("localhost:5000", "write localhost:5000/NAME"),
    "an address without a name": ("[fd00::1]:5000", "write [fd00::1]:5000/NAME"),
    "a name that could be an id": (HEX, "64 hexadecimal digits"),
    "a path too long": ("r.io/" + "a" * 300, "300 characters"),
    "a port that cannot be": ("r.io:99999/app", '"99999" is not a port'),
    "port zero": ("r.io:0/app", '"0" is not a port'),
    "an address that cannot be": ("[1:2]/app", "not an IPv6 address"),
    "a host too long": ("a" * 64 + ".example/app", "longer than the DNS allows"),
}


@pytest.mark.parametrize(("text", "sentence"), REPOSITORY_SENTENCES.values(), ids=REPOSITORY_SENTENCES)
def test_says_what_is_wrong_with_a_repository(text: str, sentence: str) -> None:
    with pytest.raises(ReferenceInvalid) as caught:
        parse_repository(text)
    assert sentence in str(caught.value)
    assert str(caught.value).endswith(".")


def test_a_repository_keeps_its_host_and_knows_its_api() -> None:
    assert parse_repository("redis") == Repository("docker.io", "library/redis")
    assert parse_repository("redis").api_host == "registry-1.docker.io"
    assert parse_repository("r.io:5000/a").api_host == "r.io:5000"
    assert str(parse_repository("index.docker.io/redis")) == "docker.io/library/redis"
    assert parse_reference("r.io/a:1").repository == Repository("r.io", "a")


def test_a_password_in_a_repository_is_not_repeated() -> None:
    with pytest.raises(ReferenceInvalid) as caught:
        parse_repository("https://me:hunter2@r.io/app")
    assert "hunter2" not in str(caught.value)


def test_a_sentence_stays_short_and_printable() -> None:
    with pytest.raises(ReferenceInvalid) as caught:
        parse_repository("\x1b[31m" + "A" * 10_000)
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("sha256:" + "a" * 63, "63 digits instead of 64"),
        ("a" * 64, "does not start with sha256:"),
        ("sha512:" + "a" * 128, "does not start with sha256:"),
        ("sha256:" + "A" * 64, "lowercase"),
        (f"{DIGEST}\n", "65 digits"),
    ],
)
def test_says_what_is_wrong_with_a_digest(text: str, sentence: str) -> None:
    with pytest.raises(ReferenceInvalid, match=sentence):
        parse_digest(text)


def test_reads_digests_and_tags() -> None:
    assert parse_digest(DIGEST) == DIGEST
    assert parse_tag("v1.2_x-y") == "v1.2_x-y"
    for text in ("", ".1", "-1", "a" * 129, "1+2", "1\n", "ä"):
        with pytest.raises(ReferenceInvalid, match="is not a tag"):
            parse_tag(text)


def test_a_pin_keeps_the_repository_as_it_was_written() -> None:
    assert pin("redis", "7", DIGEST) == f"redis:7@{DIGEST}"
    assert pin("index.docker.io/redis", None, DIGEST) == f"index.docker.io/redis@{DIGEST}"
    assert pin(Repository("r.io:5000", "a/b"), "1", DIGEST) == f"r.io:5000/a/b:1@{DIGEST}"
    assert parse_pin(f"r.io:5000/a:1@{DIGEST}") == Pin("r.io:5000/a", "1", DIGEST)
    assert parse_pin(f"r.io:5000/a@{DIGEST}") == Pin("r.io:5000/a", None, DIGEST)
    assert str(parse_pin(f"redis:7@{DIGEST}")) == f"redis:7@{DIGEST}"


@pytest.mark.parametrize(
    ("repository", "tag", "digest"),
    [("r.io/a:1", None, DIGEST), ("r.io/a", "1@x", DIGEST), ("r.io/a", "1", "sha256:abc"), ("r.io/a", "", DIGEST)],
)
def test_a_pin_is_never_made_of_a_wrong_part(repository: str, tag: str | None, digest: str) -> None:
    with pytest.raises(ReferenceInvalid):
        pin(repository, tag, digest)


@pytest.mark.parametrize("text", ["redis:7", "redis", f"@{DIGEST}", f"redis:@{DIGEST}", f"re dis@{DIGEST}"])
def test_what_is_not_pinned_is_no_pin(text: str) -> None:
    with pytest.raises(ReferenceInvalid):
        parse_pin(text)


@pytest.mark.parametrize(
    "hostile",
    [
        "a" * 200_000,
        "a-" * 100_000,
        "r.io/" + "a-" * 100_000,
        "a/" * 100_000,
        "-" * 200_000,
        "r.io/" + "_" * 200_000,
        "[" + ":" * 200_000,
        "a." * 100_000 + "/a",
        "a:" * 100_000,
        "@" * 200_000,
    ],
)
def test_no_name_takes_more_than_linear_time(hostile: str) -> None:
    started = time.perf_counter()
    for parse in (parse_reference, parse_repository, parse_pin, parse_tag, parse_digest):
        with pytest.raises(ReferenceInvalid):
            parse(hostile)
    assert time.perf_counter() - started < 5


@given(st.text(alphabet="aA0.:/@_-[]% \n\u0661", max_size=40))
def test_what_is_accepted_reads_the_same_again(text: str) -> None:
    try:
        reference = parse_reference(text)
    except ReferenceInvalid:
        return
    assert parse_reference(str(reference)) == reference


@given(st.from_regex(r"[a-z0-9]{1,8}(/[a-z0-9]{1,8}){0,3}", fullmatch=True), st.sampled_from([None, "1.2", "x"]))
def test_a_pin_read_back_is_the_same_pin(repository: str, tag: str | None) -> None:
    text = pin(repository, tag, DIGEST)
    assert parse_pin(text) == Pin(repository, tag, DIGEST)
