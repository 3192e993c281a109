"""What each signer of Kubernetes signs. Pure: from a request to what is wrong with it, or to what is signed."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from arktos.model.kinds import SYSTEM_TENANT, Obj

API_CLIENT = "kubernetes.io/kube-apiserver-client"
AGENT_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
AGENT_SERVER = "kubernetes.io/kubelet-serving"
SIGNERS = frozenset({API_CLIENT, AGENT_CLIENT, AGENT_SERVER})

NODES = "system:nodes"
MASTERS = "system:masters"
BOOTSTRAPPERS = "system:bootstrappers"
_NODE_PREFIX = "system:node:"
_OPTIONAL = "key encipherment"
_CLIENT_USAGES = frozenset({_OPTIONAL, "digital signature", "client auth"})
_SERVER_USAGES = frozenset({_OPTIONAL, "digital signature", "server auth"})


@dataclass(frozen=True, slots=True)
class Names:
    """Who a request says that its key is."""

    common_name: str
    organizations: tuple[str, ...]
    dns: tuple[str, ...]
    addresses: tuple[str, ...]
    emails: tuple[str, ...] = ()
    others: bool = False
    """Whether it has alternative names of other types."""

    @classmethod
    def of(cls, request: x509.CertificateSigningRequest) -> Names:
        subject = request.subject
        names = [str(each.value) for each in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        organizations = [str(each.value) for each in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
        try:
            found = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return cls(names[0] if names else "", tuple(organizations), (), ())
        dns = tuple(found.get_values_for_type(x509.DNSName))
        addresses = tuple(str(address) for address in found.get_values_for_type(x509.IPAddress))
        emails = tuple(found.get_values_for_type(x509.RFC822Name))
        others = len(found) != len(dns) + len(addresses) + len(emails)
        return cls(names[0] if names else "", tuple(organizations), dns, addresses, emails, others)


def objection(signer: str, names: Names, usages: Sequence[str], tenant: str) -> str:
    """Why a signer would not sign this, in Kubernetes' words; "" if it would."""
    if signer == API_CLIENT:
        if MASTERS in names.organizations:
            return f"use of {API_CLIENT} signer with {MASTERS} group is not allowed"
        fits = "client auth" in usages and set(usages) <= _CLIENT_USAGES
        return "" if fits else f"usages did not match {_listed(_CLIENT_USAGES)}"
    if tenant != SYSTEM_TENANT:
        return "nodes belong to no tenant"
    if names.organizations != (NODES,):
        return f"subject organization is not {NODES}"
    return _of_client(names, set(usages)) if signer == AGENT_CLIENT else _of_server(names, set(usages))


def _of_client(names: Names, usages: set[str]) -> str:
    for found, what in ((names.dns, "DNS"), (names.emails, "Email"), (names.addresses, "IP"), (names.others, "URI")):
        if found:
            return f"{what} subjectAltNames are not allowed"
    if not names.common_name.startswith(_NODE_PREFIX):
        return f"subject common name does not begin with {_NODE_PREFIX}"
    needed = _CLIENT_USAGES - {_OPTIONAL}
    return "" if usages | {_OPTIONAL} == _CLIENT_USAGES else f"usages did not match {_listed(needed)}"


def _of_server(names: Names, usages: set[str]) -> str:
    if not (names.dns or names.addresses):
        return "DNS or IP subjectAltName is required"
    for found, what in ((names.emails, "Email"), (names.others, "URI")):
        if found:
            return f"{what} subjectAltNames are not allowed"
    if usages | {_OPTIONAL} != _SERVER_USAGES:
        return f"usages did not match {_listed(_SERVER_USAGES - {_OPTIONAL})}"
    fits = names.common_name.startswith(_NODE_PREFIX)
    return "" if fits else f"subject common name does not begin with {_NODE_PREFIX}"


def _listed(usages: Collection[str]) -> str:
    return f"[{' '.join(sorted(usages))}]"


def approves(spec: Obj, names: Names, node: Obj | None) -> bool:
    """Whether nobody need be asked: a machine with a bootstrap token becomes a node that does not exist yet, a node
    renews its own certificate, and has its server certificate for the addresses that it reports."""
    signer, user, groups = spec.get("signerName"), str(spec.get("username")), set(spec.get("groups") or ())
    if signer not in (AGENT_CLIENT, AGENT_SERVER):
        return False
    if NODES in groups and user == names.common_name:
        return signer == AGENT_CLIENT or _are_its_own(names, user.removeprefix(_NODE_PREFIX), node)
    return signer == AGENT_CLIENT and BOOTSTRAPPERS in groups and node is None


def _are_its_own(names: Names, name: str, node: Obj | None) -> bool:
    reported = {each.get("address") for each in ((node or {}).get("status") or {}).get("addresses") or ()} | {name}
    loopback = {address for address in names.addresses if ipaddress.ip_address(address).is_loopback}
    return {*names.dns, *names.addresses} <= reported | loopback


def subject(names: Names, tenant: str) -> x509.Name:
    """The subject that is signed: as asked for; of a tenant's request with the tenant, groups in OU (DESIGN 3)."""
    organizations = names.organizations if tenant == SYSTEM_TENANT else (f"tenant:{tenant}",)
    units = () if tenant == SYSTEM_TENANT else names.organizations
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, value) for value in organizations]
    attributes += [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, value) for value in units]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, names.common_name)])


EXTENDED: Mapping[str, ObjectIdentifier] = {
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
}
