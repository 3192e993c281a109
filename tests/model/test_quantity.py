"""Quantities: canonical form, exact arithmetic, rounding up."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arktos.model.quantity import Format, Quantity, QuantityError, canonical, parse


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("0", "0"),
        ("0.0", "0"),
        ("-0", "0"),
        ("0Mi", "0"),
        ("1", "1"),
        ("+1", "1"),
        ("1000m", "1"),
        ("0.5", "500m"),
        (".5", "500m"),
        ("1.", "1"),
        ("1500m", "1500m"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("0.5Mi", "512Ki"),
        ("0.5Ki", "512"),
        ("100Ki", "100Ki"),
        ("1000", "1k"),
        ("123456", "123456"),
        ("1000000", "1M"),
        ("1e3", "1e3"),
        ("1E6", "1e6"),
        ("12e2", "1200"),
        ("12e-1", "1200e-3"),
        ("1E", "1E"),
        ("1Ei", "1Ei"),
        ("1.1Ki", "1126400m"),
        ("0.0000000001", "1n"),
        ("-0.0000000001", "-1n"),
        ("100u", "100u"),
        ("-1.5Gi", "-1536Mi"),
        ("27828.125Ki", "28496k"),
        ("99999999999999999999", "9223372036854775807"),
    ],
)
def test_canonical_form(text: str, form: str) -> None:
    assert canonical(text) == form
    assert canonical(form) == form


@pytest.mark.parametrize(
    "text", ["", "x", "1x", "1 Gi", "1GiB", "Gi", "1.2.3", "--1", "1e", "1kk", "1e1000000", "1" * 2000, "\u0661"]
)
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(QuantityError):
        parse(text)


def test_arithmetic_and_comparison() -> None:
    assert parse("1") == parse("1000m")
    assert hash(parse("1")) == hash(parse("1000m"))
    assert parse("1Gi") > parse("1G")
    assert str(parse("1Gi") + parse("512Mi")) == "1536Mi"
    assert str(parse("1") - parse("250m")) == "750m"
    assert str(-parse("1Ki")) == "-1Ki"
    assert str(Quantity() + parse("1Gi")) == "1Gi"
    assert sum((parse("100m") for _ in range(10)), Quantity()) == parse("1")
    assert not parse("0") and parse("1n")
    assert [parse(text).sign for text in ("-1", "0", "1")] == [-1, 0, 1]


def test_rounding_is_up() -> None:
    assert parse("1m").value == 1
    assert parse("1001m").value == 2
    assert parse("-1m").value == -1
    assert parse("1n").milli == 1
    assert parse("1.5").milli == 1500
    assert Quantity.of(3).value == 3
    assert str(Quantity.of_milli(1500)) == "1500m"
    assert str(Quantity.of(1 << 30, Format.BINARY)) == "1Gi"


NUMBERS = st.tuples(
    st.sampled_from(["", "-", "+"]),
    st.integers(0, 10**7),
    st.sampled_from(["", ".5", ".125", ".001"]),
    st.sampled_from(["", "m", "k", "M", "G", "Ki", "Mi", "Gi", "e3", "e-3", "E2"]),
)
SCALES = {"": 1, "m": Fraction(1, 1000), "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
SCALES |= {"e3": 1000, "e-3": Fraction(1, 1000), "E2": 100}


@given(NUMBERS)
def test_canonical_form_keeps_the_amount(parts: tuple[str, int, str, str]) -> None:
    sign, whole, fraction, suffix = parts
    quantity = parse(f"{sign}{whole}{fraction}{suffix}")
    assert parse(str(quantity)) == quantity
    exact = Fraction(f"{whole}{fraction}") * SCALES[suffix] * (-1 if sign == "-" else 1)
    assert quantity.milli == (-(-exact * 1000 // 1) if exact >= 0 else exact * 1000 // 1)


@given(NUMBERS)
def test_canonical_form_is_its_own(parts: tuple[str, int, str, str]) -> None:
    sign, whole, fraction, suffix = parts
    form = canonical(f"{sign}{whole}{fraction}{suffix}")
    assert canonical(form) == form


@given(st.text(alphabet="0123456789.+-eEmkMGTPinu", max_size=12))
def test_every_text_is_a_quantity_or_an_error(text: str) -> None:
    try:
        quantity = parse(text)
    except QuantityError:
        return
    assert parse(str(quantity)) == quantity
