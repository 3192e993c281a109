"""What names of images mean."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from arktos.vmruntime.images.faults import Unfit
from arktos.vmruntime.images.policy import ImagePolicy
from arktos.vmruntime.images.reference import FileSource, OciSource, Source, WebSource, parse

PIN = "ab" * 32
USUAL = ImagePolicy()


@pytest.mark.parametrize(
    ("reference", "meant"),
    [
        ("images.example.com/debian.qcow2", WebSource("https://images.example.com/debian.qcow2")),
        ("images.example.com/debian.qcow2:latest", WebSource("https://images.example.com/debian.qcow2")),
        ("images.example.com:8443/a/b.img:v1", WebSource("https://images.example.com:8443/a/b.img")),
        ("http://h/x", WebSource("http://h/x")),
        ("HTTPS://h/x", WebSource("https://h/x")),
        (f"h/x.qcow2@sha256:{PIN}", WebSource("https://h/x.qcow2", PIN)),
        (f"h/x.qcow2:latest@sha256:{PIN}", WebSource("https://h/x.qcow2", PIN)),
        (f"https://h/x?a=1&checksum=sha256:{PIN}", WebSource("https://h/x?a=1", PIN)),
        (f"https://h/x?checksum={PIN.upper()}", WebSource("https://h/x", PIN)),
        (f"https://h/x#sha256={PIN}", WebSource("https://h/x", PIN)),
        ("oci://r.example.com/vm/debian", OciSource("https", "r.example.com", "vm/debian")),
        ("oci://r:5000/vm/debian:12", OciSource("https", "r:5000", "vm/debian", "12")),
        (f"oci://r/d:12@sha256:{PIN}", OciSource("https", "r", "d", "12", f"sha256:{PIN}")),
        (f"file:///srv/a%20b.img@sha256:{PIN}", FileSource("/srv/a b.img", PIN)),
    ],
)
def test_meaning(reference: str, meant: Source) -> None:
    assert parse(reference, USUAL) == meant


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "justaname",
        "ftp://h/x",
        "https://user:secret@h/x",
        "https:///x",
        "https://h/x y",
        "https://h/x\r\nHost: evil",
        "https://h:port/x",
        "https://h/x?checksum=sha256:abc",
        "h/x@sha256:zz",
        "oci://r/UPPER",
        "oci://r",
        "file://relative",
        "file:///a%00b",
        "h/" + "x" * 3000,
    ],
)
def test_refused(reference: str) -> None:
    with pytest.raises(Unfit, match="INVALID_ARGUMENT"):
        parse(reference, USUAL)


def test_mirrors_replace_whole_prefixes_and_are_trusted() -> None:
    mirrored = ImagePolicy(
        mirrors=(
            ("images.example.com", "http://10.0.0.1/mirror"),
            ("images.example.com/special/", "oci://10.0.0.2:5000/vm/"),
        )
    )
    assert parse("images.example.com/a.img", mirrored) == WebSource("http://10.0.0.1/mirror/a.img", trusted=True)
    assert parse("https://images.example.com/a.img", mirrored) == WebSource(
        "http://10.0.0.1/mirror/a.img", trusted=True
    )
    assert parse("images.example.com/special/d:1", mirrored) == OciSource(
        "https", "10.0.0.2:5000", "vm/d", "1", trusted=True
    )
    assert parse("images.example.com.evil.org/a.img", mirrored) == WebSource(
        "https://images.example.com.evil.org/a.img"
    )


def test_insecure_registries_are_spoken_to_in_the_clear() -> None:
    policy = ImagePolicy(insecure_registries=frozenset({"r:5000"}))
    assert parse("oci://r:5000/d", policy) == OciSource("http", "r:5000", "d", trusted=True)
    assert parse("r:5000/d.img", policy) == WebSource("http://r:5000/d.img", trusted=True)


@given(st.text(max_size=200))
@example("[")
def test_any_text_is_a_source_or_refused(text: str) -> None:
    try:
        source = parse(text, USUAL)
    except Unfit:
        return
    assert isinstance(source, (WebSource, OciSource, FileSource))
    if isinstance(source, WebSource):
        assert source.url.startswith(("https://", "http://")) and " " not in source.url
