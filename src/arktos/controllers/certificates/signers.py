"""What each signer of Kubernetes signs. Pure: from a request to what is wrong with it, or to what is signed."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from arktos.model.kinds import SYSTEM_TENANT, Obj

API_CLIENT = "kubernetes.io/kube-apiserver-client"
AGENT_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
AGENT_SERVER = "kubernetes.io/kubelet-serving"
SIGNERS = frozenset({API_CLIENT, AGENT_CLIENT, AGENT_SERVER})

NODES = "system:nodes"
BOOTSTRAPPERS = "system:bootstrappers"
_NODE_PREFIX = "system:node:"
_CLIENT_USAGES = ({"key encipherment", "digital signature", "client auth"}, {"digital signature", "client auth"})
_SERVER_USAGES = ({"key encipherment", "digital signature", "server auth"}, {"digital signature", "server auth"})


@dataclass(frozen=True, slots=True)
class Names:
    """Who a request says that its key is."""

    common_name: str
    organizations: tuple[str, ...]
    dns: tuple[str, ...]
    addresses: tuple[str, ...]
    others: bool

    @classmethod
    def of(cls, request: x509.CertificateSigningRequest) -> Names:
        subject = request.subject
        names = [str(each.value) for each in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        organizations = [str(each.value) for each in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
        try:
            found = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return cls(names[0] if names else "", tuple(organizations), (), (), False)
        dns = tuple(found.get_values_for_type(x509.DNSName))
        addresses = tuple(str(address) for address in found.get_values_for_type(x509.IPAddress))
        others = len(found) != len(dns) + len(addresses)
        return cls(names[0] if names else "", tuple(organizations), dns, addresses, others)


def objection(signer: str, names: Names, usages: Sequence[str], tenant: str) -> str:
    """Why a signer would not sign this; "" if it would."""
    wanted = set(usages)
    if signer == API_CLIENT:
        if "system:masters" in names.organizations:
            return "the group system:masters is never signed for"
        return "" if "client auth" in wanted and "server auth" not in wanted else "usages must be those of a client"
    if tenant != SYSTEM_TENANT:
        return "nodes belong to no tenant"
    if names.organizations != (NODES,):
        return f"the organization must be {NODES}"
    if not names.common_name.startswith(_NODE_PREFIX):
        return f"the common name must begin with {_NODE_PREFIX}"
    if signer == AGENT_CLIENT:
        if names.dns or names.addresses or names.others:
            return "a client has no alternative names"
        return "" if wanted in _CLIENT_USAGES else "usages must be those of a client"
    if names.others or not (names.dns or names.addresses):
        return "a server needs DNS names or addresses, and nothing else"
    return "" if wanted in _SERVER_USAGES else "usages must be those of a server"


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
