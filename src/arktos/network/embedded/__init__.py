"""The default network: bridges, routes and nftables of the kernel, nothing else to install.

Every node has a pool of addresses (`spec.podCIDR`), every tenant with a pod on the node a bridge. All bridges have the
same gateway address, the first of the pool. What keeps tenants apart:

* a bridge of their own, so that they never see each other's frames;
* at every pod's port, a check that each frame has the pod's own MAC and IPv4 address as its source (`bridge` table),
  and is ARP or IPv4 at all;
* a `forward` chain in which a pod reaches pod addresses of its own tenant only (`inet` table), default deny.

pool         which address is next (pure)
records      what was given to whom, on disk
rules        the nftables rules, as a function of the state (pure)
nft          rules to kernel, by difference, changes gathered
plumbing     bridges, veth pairs, routes (netlink)
shaping      bandwidth annotations
host         sysctls, and what on the host is in the way
network      the provider: puts these together
peers        routes to other nodes, addresses of tenants, of the API server: from the watches
"""
