"""Accept and Content-Type headers, as clients send them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arktos.wire.mediatype import JSON, PROTOBUF, YAML, Accept, content_type, negotiate

TABLE = Accept(JSON, "Table", "meta.k8s.io", "v1")
BOTH = (JSON, PROTOBUF)


@pytest.mark.parametrize(
    ("header", "allowed", "expected"),
    [
        ("", (JSON,), Accept()),
        ("*/*", BOTH, Accept()),
        ("application/*", (YAML, JSON), Accept(YAML)),
        ("application/json, */*", (JSON,), Accept()),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", (JSON,), Accept()),
        (
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
            (JSON,),
            TABLE,
        ),
        ("application/json;g=meta.k8s.io;v=v1;as=Table", (JSON,), TABLE),
        ("application/json ; as=Table ; g = meta.k8s.io;v=v1", (JSON,), TABLE),
        ('APPLICATION/JSON;AS="Table";G="meta.k8s.io";v=v1', (JSON,), TABLE),
        (
            "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json",
            (JSON,),
            Accept(JSON, "APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2beta1"),
        ),
        ("application/vnd.kubernetes.protobuf,application/json", (JSON,), Accept()),
        ("application/vnd.kubernetes.protobuf,application/json", BOTH, Accept(PROTOBUF)),
        ("application/vnd.kubernetes.protobuf;stream=watch", BOTH, Accept(PROTOBUF, stream="watch")),
        ("application/json;q=0.1, application/yaml;q=0.2", (JSON, YAML), Accept(YAML)),
        ("application/json;q=0, */*", (JSON, YAML), Accept(YAML)),
        ("application/json;q=0", (JSON,), None),
        ("application/json;pretty=1", (JSON,), Accept(JSON, pretty=True)),
        ("application/yaml", (JSON,), None),
        ("application/cbor", BOTH, None),
        ("application/cbor, application/json;q=0.9", BOTH, Accept()),
        ("text/plain", BOTH, None),
        ("rubbish", BOTH, None),
        (",,;;, application/json;q=x, application/json;;", (JSON,), Accept()),
    ],
)
def test_negotiation(header: str, allowed: tuple[str, ...], expected: Accept | None) -> None:
    assert negotiate(header, allowed) == expected


def test_representations_that_are_not_served_are_passed_over() -> None:
    header = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    assert negotiate(header, kinds=("Table",)) == TABLE
    assert negotiate(header, kinds=()) == Accept()
    assert negotiate("application/json;as=Table", kinds=()) is None


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", JSON),
        ("application/json", JSON),
        ("application/json; charset=utf-8", JSON),
        ("Application/JSON", JSON),
        ("application/yaml", YAML),
        ("application/vnd.kubernetes.protobuf", PROTOBUF),
        ("application/json-patch+json", "json-patch"),
        ("application/merge-patch+json", "merge-patch"),
        ("application/strategic-merge-patch+json", "strategic-merge-patch"),
        ("application/apply-patch+yaml", "apply-patch"),
        ("application/cbor", "application/cbor"),
        ("text/plain; x=y", "text/plain"),
    ],
)
def test_content_types(header: str, expected: str) -> None:
    assert content_type(header) == expected


@given(st.text(alphabet='abq/*;,="\\ .01+', max_size=60))
def test_any_header_gives_a_form_or_none(header: str) -> None:
    result = negotiate(header, BOTH)
    assert result is None or result.encoding in BOTH


def test_headers_of_absurd_length_are_bounded() -> None:
    assert negotiate("application/json;q=0.5," * 10_000) == Accept()
    assert negotiate("text/plain," * 10_000 + "application/json") is None
