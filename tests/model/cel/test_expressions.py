"""What expressions mean: values, types, messages."""

from __future__ import annotations

from typing import Any

import pytest

from arktos.model import cel
from arktos.model.cel.values import Duration, Timestamp

VARIABLES = {"self": cel.DYN, "x": cel.DYN, "n": cel.INT, "s": cel.STRING}


def value(expression: str, **values: Any) -> Any:
    return cel.compile(expression, VARIABLES).evaluate(values)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("1 + 2 * 3 - 4 / 3 % 2", 6),
        ("-7 / 2", -3),
        ("-7 % 2", -1),
        ("1.0 / 0.0 > 1e308", True),
        ("dyn(1) == 1.0", True),
        ("1 < 1.5 && 2u > 1.5 && 2 > 1u", True),
        ("dyn(true) == 1", False),
        ("'a' + \"b\" + r'\\n' + '''c'''", "ab\\nc"),
        ("'\\u00e9\\x41\\101\\n'", "éAA\n"),
        ("b'\\xff' + b'a'", b"\xffa"),
        ("0x1F", 31),
        ("-9223372036854775808", -(2**63)),
        ("[1, 2] + [3]", [1, 2, 3]),
        ("{'a': 1, 'b': 2}.b", 2),
        ("2 in [1, 2] && 'a' in {'a': 1} && !(3 in [1])", True),
        ("[[1, 2.0], {'a': null}] == [[1, 2], {'a': null}]", True),
        ("size('é') + size([1, 2]) + 'abc'.size()", 6),
        ("true || 1 / 0 == 1", True),
        ("1 / 0 == 1 || true", True),
        ("false && 1 / 0 == 1", False),
        ("true ? 1 : 2", 1),
        ("[1, 2, 3].filter(i, i > 1).map(i, i * 2)", [4, 6]),
        ("[1, 2, 3].map(i, i > 1, i * 2)", [4, 6]),
        ("[1, 2].all(i, v, v == i + 1) && {'a': 1}.exists(k, v, k == 'a' && v == 1)", True),
        ("[1, 1, 2].exists_one(i, i == 1)", False),
        ("{'a': 1}.transformMap(k, v, v + 1)", {"a": 2}),
        ("{'a': 1}.transformMapEntry(k, v, {v: k})", {1: "a"}),
        ("[3, 4].transformList(i, v, v > 3, i)", [1]),
        ("cel.bind(a, 2, a * a)", 4),
        ("int('12') + int(3.9) + int(2u)", 17),
        ("string(1.0) + string(1e30) + string(true)", "11e+30true"),
        ("double('1.5')", 1.5),
        ("type(1) == int && type('a') == string && type(type(1)) == type", True),
        ("timestamp('2024-02-29T12:00:00Z') + duration('24h') == timestamp('2024-03-01T14:00:00+02:00')", True),
        ("timestamp('2024-02-29T12:00:00Z').getDayOfYear()", 59),
        ("timestamp('2024-02-29T23:00:00Z').getHours('+02:00')", 1),
        ("duration('1h30m').getMinutes()", 90),
        ("string(duration('1.5s')) + string(timestamp('2024-02-29T12:00:00.5Z'))", "1.5s2024-02-29T12:00:00.5Z"),
        ("has({'a': 1}.a) && !has({'a': 1}.b)", True),
        ("optional.of(1).value() + optional.none().orValue(2)", 3),
        ("{'a': 1}[?'b'].orValue(3) + [1][?0].orValue(0) + [1][?5].orValue(7)", 11),
        ("[?optional.none(), 1] == [1] && {?'a': optional.none()} == {}", True),
        ("optional.of(2).optMap(v, v * 2).value() + optional.of(2).optFlatMap(v, optional.of(v)).value()", 6),
    ],
)
def test_the_language(expression: str, expected: Any) -> None:
    assert value(expression) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("quantity('1.5Gi').isGreaterThan(quantity('1G')) && !isQuantity('x')", True),
        ("quantity('50k').add(quantity('1')).sub(1).asInteger()", 50000),
        ("quantity('50m').asApproximateFloat()", 0.05),
        ("quantity('1') == quantity('1000m')", True),
        ("quantity('1').compareTo(quantity('2'))", -1),
        ("isIP('1.2.3.4') && isIP('::1') && !isIP('1.2.3') && ip('::1').family() == 6", True),
        ("ip('fe80::1').isLinkLocalUnicast() && ip('127.0.0.1').isLoopback()", True),
        ("string(ip('2001:DB8::1')) == '2001:db8::1' && !ip.isCanonical('2001:DB8::1')", True),
        ("cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && cidr('10.0.0.0/8').containsIP(ip('10.9.9.9'))", True),
        ("string(cidr('10.1.2.3/8').masked()) + string(cidr('10.1.2.3/8').ip())", "10.0.0.0/810.1.2.3"),
        ("url('https://u@h.example:8443/a%20b?x=1&x=2').getHost()", "h.example:8443"),
        ("url('https://[::1]:80/').getHostname() + url('https://a/b').getPort()", "::1"),
        ("url('/p?x=1&x=2').getQuery()['x']", ["1", "2"]),
        ("isURL('not a url')", False),
        ("semver('1.2.3-rc.1').isLessThan(semver('1.2.3')) && semver('v1.2', true).minor() == 2", True),
        ("isSemver('1.2')", False),
        (
            "'abc 123 45'.find('[0-9]+') + 'a1b2'.findAll('[0-9]')[1] + string('a1b2'.findAll('[0-9]', 1).size())",
            "12321",
        ),
        ("'foo(bar)'.find('\\\\((\\\\w+)\\\\)')", "(bar)"),
        ("'abc'.matches('b') && !'abc'.matches('^b')", True),
        ("[1, 2, 3].isSorted() && ![2, 1].isSorted()", True),
        ("[1, 2, 3].sum() + [3, 1].min() + [3, 1].max() + ['a', 'b'].indexOf('b')", 11),
        ("sets.contains([1, 2], [2]) && sets.equivalent([1, 2, 2], [2, 1]) && !sets.intersects([1], [2])", True),
        ("math.greatest(1, 2, 3) + math.least([4, 5])", 7),
        ("'a,b,c'.split(',', 2).join('-') + 'x'.upperAscii() + 'abc'.substring(1, 2)", "a-b,cXb"),
        ("'aXbX'.replace('X', '-', 1) + ' t '.trim() + 'abc'.reverse()", "a-bXtcba"),
        ("'%s %d %.2f %x %%'.format([['a', 1, true, null], 5, 1.005, 255])", "[a, 1, true, null] 5 1.00 ff %"),
        ("format.dns1123Label().validate('abc').hasValue()", False),
        ("format.named('dns1123Label').value().validate('A_b').value().size() > 0", True),
        ("format.named('nonsense').hasValue()", False),
    ],
)
def test_kubernetes_libraries(expression: str, expected: Any) -> None:
    assert value(expression) == expected


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("self.a", "no such key: a"),
        ("self['a']", "no such key: a"),
        ("[1][3]", "index out of bounds: 3"),
        ("1 / 0", "division by zero"),
        ("9223372036854775807 + 1", "integer overflow"),
        ("self + 1", "no such overload"),
        ("self.size() > 0 && x", "no such attribute(s): x"),
        ("'a'.matches('a(b')", "error parsing regexp: missing ): a(b"),
        ("optional.none().value()", "optional.none() dereference"),
        ("[].min()", "min called on empty list"),
    ],
)
def test_what_has_no_value_says_why(expression: str, message: str) -> None:
    with pytest.raises(cel.EvaluationError) as failed:
        value(expression, self={"b": 1})
    assert str(failed.value) == message


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("y > 1", "ERROR: <input>:1:1: undeclared reference to 'y' (in container '')\n | y > 1\n | ^"),
        (
            "n +\n 'a'",
            "ERROR: <input>:1:3: found no matching overload for '_+_' applied to '(int, string)'\n | n +\n | ..^",
        ),
        (
            "s.foo()",
            "ERROR: <input>:1:6: undeclared reference to 'foo' (in container '')\n | s.foo()\n | .....^",
        ),
        (
            "s.startsWith(1)",
            "ERROR: <input>:1:13: found no matching overload for 'startsWith' applied to 'string.(int)'\n"
            " | s.startsWith(1)\n | ............^",
        ),
        ("n.all(i, i)", "expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)"),
        ("n ? 1 : 2", "found no matching overload for '_?_:_' applied to '(int, int, int)'"),
        ("n +", "Syntax error: mismatched input '<EOF>' expecting"),
        ("n n", "Syntax error: extraneous input 'n' expecting <EOF>"),
        ("'abc", "Syntax error: token recognition error at"),
        ("Object{a: 1}", "undeclared reference to 'Object' (in container '')"),
        ("if", "reserved identifier: if"),
        ("has(n)", "invalid argument to has() macro"),
        ("[1].all(1, true)", "argument must be a simple name"),
    ],
)
def test_what_is_no_expression_says_where(expression: str, message: str) -> None:
    with pytest.raises(cel.CelError) as failed:
        cel.compile(expression, VARIABLES)
    assert message in str(failed.value)


def test_every_mistake_is_told_once() -> None:
    with pytest.raises(cel.CelError) as failed:
        cel.compile("(a + 1) * 2 > 3 || b == 'x'", {})
    assert [issue.message for issue in failed.value.issues] == [
        "undeclared reference to 'a' (in container '')",
        "undeclared reference to 'b' (in container '')",
    ]


def test_the_result_must_be_of_the_type() -> None:
    with pytest.raises(cel.ResultError, match="must evaluate to bool"):
        cel.compile("1", {}, cel.BOOL)
    assert cel.compile("self", {"self": cel.DYN}, cel.BOOL).evaluate({"self": True}) is True


def test_a_program_knows_what_it_uses() -> None:
    program = cel.compile("[1].all(x, x > n)", VARIABLES)
    assert program.uses == {"n"}


def test_objects_are_made_where_they_are_known() -> None:
    program = cel.compile(
        "Object{spec: Object.spec{replicas: n, ?paused: optional.none()}}",
        VARIABLES,
        objects=lambda name: cel.DYN if name.split(".")[0] == "Object" else None,
    )
    assert program.evaluate({"n": 3}) == {"spec": {"replicas": 3}}


def test_lazy_values_are_asked_once_they_are_needed() -> None:
    asked: list[str] = []

    class Variables(cel.Lazy):
        def find(self, field: str) -> Any:
            asked.append(field)
            return {"a": 1}[field]

    program = cel.compile("x.a == 1 || x.b == 2", VARIABLES)
    assert program.evaluate({"x": Variables()}) is True
    assert asked == ["a"]


def test_values_of_time() -> None:
    assert value("duration('-1h')") == Duration(-3600 * 10**9)
    assert value("timestamp('1970-01-01T00:00:01Z')") == Timestamp(10**9)
