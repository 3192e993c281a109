"""Text formats: each function returns the messages of what is wrong with a text, and nothing where all is well.

Wordings are Kubernetes' (RFC 1123 and 1035 names, qualified names, ports, addresses). Results are remembered: the same
names and keys come again and again.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from functools import lru_cache

Messages = tuple[str, ...]
Format = Callable[[str], Messages]

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_NAME = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"

_dns_label = re.compile(_LABEL).fullmatch
_dns_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?").fullmatch
_subdomain = re.compile(rf"{_LABEL}(\.{_LABEL})*").fullmatch
_underscored = re.compile(r"[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?(\.[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?)*").fullmatch
_wildcard = re.compile(rf"\*\.{_LABEL}(\.{_LABEL})*").fullmatch
_qualified = re.compile(_NAME).fullmatch
_label_value = re.compile(rf"({_NAME})?").fullmatch
_config_key = re.compile(r"[-._a-zA-Z0-9]+").fullmatch
_env_name = re.compile(r"[ -<>-~]+").fullmatch
_header = re.compile(r"[-A-Za-z0-9]+").fullmatch
_port_chars = re.compile(r"[-a-z0-9]+").fullmatch
_port_letter = re.compile(r"[a-z]").search
_http_path = re.compile(r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+").fullmatch


def _regex(message: str, pattern: str, *examples: str) -> str:
    shown = "" if not examples else "(e.g. " + ", or ".join(f"'{e}'" for e in examples)
    if not shown:
        return f"{message} (regex used for validation is '{pattern}')"
    return f"{message} {shown}, regex used for validation is '{pattern}')"


def _length(limit: int) -> str:
    return f"must be no more than {limit} bytes"


EMPTY = "must be non-empty"
_DNS_LABEL = _regex(
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character",
    "[a-z0-9]([-a-z0-9]*[a-z0-9])?",
    "my-name",
    "123-abc",
)
_DNS_1035 = _regex(
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character",
    "[a-z]([-a-z0-9]*[a-z0-9])?",
    "my-name",
    "abc-123",
)
_SUBDOMAIN = _regex(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character",
    rf"{_LABEL}(\.{_LABEL})*",
    "example.com",
)
_UNDERSCORED = _regex(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-', '_' or '.', and must "
    "start and end with an alphanumeric character or an underscore",
    r"[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?(\.[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?)*",
    "example.com",
)
_WILDCARD = _regex(
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of "
    "lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
    rf"\*\.{_LABEL}(\.{_LABEL})*",
    "*.example.com",
)
_QUALIFIED = _regex(
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
    "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]",
    "MyName",
    "my.name",
    "123-abc",
)
_LABEL_VALUE = _regex(
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character",
    "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?",
    "MyValue",
    "my_value",
    "12345",
)
_CONFIG_KEY = _regex(
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    "[-._a-zA-Z0-9]+",
    "key.name",
    "KEY_NAME",
    "key-name",
)
_HEADER = _regex("a valid HTTP header must consist of alphanumeric characters or '-'", "[-A-Za-z0-9]+", "X-Header-Name")
_ENV_NAME = "a valid environment variable name must consist only of printable ASCII characters other than '='"


@lru_cache(maxsize=8192)
def _check_label(text: str) -> Messages:
    return () if _dns_label(text) else (_DNS_LABEL,)


def dns_label(text: str) -> Messages:
    """RFC 1123 label, at most 63 bytes."""
    if len(text) > 63:
        return (_length(63), *(() if _dns_label(text) else (_DNS_LABEL,)))
    return _check_label(text)


def dns_1035_label(text: str) -> Messages:
    """RFC 1035 label, at most 63 bytes."""
    found: Messages = () if _dns_1035(text) else (_DNS_1035,)
    return (_length(63), *found) if len(text) > 63 else found


@lru_cache(maxsize=8192)
def _check_subdomain(text: str) -> Messages:
    return () if _subdomain(text) else (_SUBDOMAIN,)


def dns_subdomain(text: str) -> Messages:
    """RFC 1123 subdomain, at most 253 bytes."""
    if len(text) > 253:
        return (_length(253), *(() if _subdomain(text) else (_SUBDOMAIN,)))
    return _check_subdomain(text)


def dns_search(text: str) -> Messages:
    """A DNS search path element: a subdomain in which underscores may stand."""
    found: Messages = () if _underscored(text) else (_UNDERSCORED,)
    return (_length(253), *found) if len(text) > 253 else found


def wildcard_subdomain(text: str) -> Messages:
    """`*.` and a subdomain."""
    found: Messages = () if _wildcard(text) else (_WILDCARD,)
    return (_length(253), *found) if len(text) > 253 else found


@lru_cache(maxsize=8192)
def _check_qualified(text: str) -> Messages:
    prefix, slash, name = text.rpartition("/")
    found: list[str] = []
    if slash:
        if "/" in prefix:
            return (
                "a qualified name "
                + _QUALIFIED
                + " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
            )
        if not prefix:
            found.append(f"prefix part {EMPTY}")
        else:
            found += [f"prefix part {m}" for m in dns_subdomain(prefix)]
    if not name:
        found.append(f"name part {EMPTY}")
    elif len(name) > 63:
        found.append(f"name part {_length(63)}")
    if not _qualified(name):
        found.append(f"name part {_QUALIFIED}")
    return tuple(found)


def qualified_name(text: str) -> Messages:
    """A label key: an optional subdomain and `/`, then a name of at most 63 bytes."""
    return _check_qualified.__wrapped__(text) if len(text) > 400 else _check_qualified(text)


def domain_prefixed(text: str) -> Messages:
    """A qualified name whose prefix must be there: `example.com/path`."""
    prefix, slash, path = text.partition("/")
    if not slash or not path:
        return ('must be a domain-prefixed path (such as "acme.io/foo")',)
    return tuple(f"prefix part {m}" for m in dns_subdomain(prefix)) if prefix else (f"prefix part {EMPTY}",)


@lru_cache(maxsize=8192)
def _check_label_value(text: str) -> Messages:
    return () if _label_value(text) else (_LABEL_VALUE,)


def label_value(text: str) -> Messages:
    """Empty, or a name of at most 63 bytes."""
    if len(text) > 63:
        return (_length(63), *(() if _label_value(text) else (_LABEL_VALUE,)))
    return _check_label_value(text)


@lru_cache(maxsize=4096)
def _check_config_key(text: str) -> Messages:
    if not _config_key(text):
        return (_CONFIG_KEY,)
    if text in (".", "..") or text.startswith(".."):
        return (f"must not be '{text}'",) if text in (".", "..") else ("must not start with '..'",)
    return ()


def config_key(text: str) -> Messages:
    """A key of a ConfigMap or Secret, at most 253 bytes."""
    if len(text) > 253:
        return (_length(253), *(() if _config_key(text) else (_CONFIG_KEY,)))
    return _check_config_key(text)


def env_name(text: str) -> Messages:
    """The name of an environment variable: printable ASCII without `=`."""
    if not text:
        return (f"environment variable name {EMPTY}",)
    return () if _env_name(text) else (_ENV_NAME,)


def header_name(text: str) -> Messages:
    """The name of an HTTP header."""
    return () if _header(text) else (_HEADER,)


def path_segment(text: str) -> Messages:
    """A name that may stand between slashes of a URL, as role names do."""
    if text in (".", ".."):
        return (f"may not be '{text}'",)
    return tuple(f"may not contain '{c}'" for c in "/%" if c in text)


@lru_cache(maxsize=2048)
def _check_port_name(text: str) -> Messages:
    found: list[str] = []
    if not _port_chars(text):
        found.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not _port_letter(text):
        found.append("must contain at least one letter (a-z)")
    if "--" in text:
        found.append("must not contain consecutive hyphens")
    if text and (text[0] == "-" or text[-1] == "-"):
        found.append("must not begin or end with a hyphen")
    return tuple(found)


def port_name(text: str) -> Messages:
    """An IANA service name: at most 15 characters, at least one letter."""
    return ("must be no more than 15 characters",) if len(text) > 15 else _check_port_name(text)


def port_number(number: int) -> Messages:
    """1 to 65535."""
    return () if 1 <= number <= 65535 else ("must be between 1 and 65535, inclusive",)


def port(value: int | str) -> Messages:
    """A port by number or by name."""
    return port_name(value) if isinstance(value, str) else port_number(value)


Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_ip(text: str) -> Address | None:
    """The address, None if it is none. Leading zeros and zones are refused."""
    if "%" in text:
        return None
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def parse_cidr(text: str) -> Network | None:
    """The network, host bits cleared; None if it is none."""
    if "/" not in text or "%" in text or not text.rpartition("/")[2].isdigit():
        return None
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def ip(text: str) -> Messages:
    """An IPv4 or IPv6 address."""
    return () if parse_ip(text) else ("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",)


def cidr(text: str) -> Messages:
    """An address range in CIDR form."""
    return () if parse_cidr(text) else ("must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",)


def non_special_ip(text: str) -> Messages:
    """An address that a service may have outside its host: not unspecified, loopback or link-local."""
    address = parse_ip(text)
    if address is None:
        return ("must be a valid IP address",)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    found: list[str] = []
    if address.is_unspecified:
        found.append(f"may not be unspecified ({text})")
    if address.is_loopback:
        found.append("may not be in the loopback range (127.0.0.0/8, ::1/128)")
    if address.is_link_local:
        found.append("may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    if _link_local_multicast(address):
        found.append("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")
    return tuple(found)


def _link_local_multicast(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return address.packed[:3] == b"\xe0\x00\x00"
    return address.packed[0] == 0xFF and address.packed[1] & 0x0F == 0x02


def http_path(text: str) -> Messages:
    """An absolute path with legal characters."""
    return () if text.startswith("/") and _http_path(text) else ("must be an absolute path",)


def local_path(text: str) -> Messages:
    """A path that stays below where it starts: relative, without `..`."""
    found: list[str] = []
    if text.startswith("/"):
        found.append("must be a relative path")
    return (*found, *no_backsteps(text))


def no_backsteps(text: str) -> Messages:
    """A path without `..` as an element."""
    return ("must not contain '..'",) if ".." in text and ".." in text.split("/") else ()


def absolute_path(text: str) -> bool:
    return text.startswith("/")
