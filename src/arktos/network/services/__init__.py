"""Services on a node: packets to a service's address go to one of its endpoints. nftables, table `arktos-services`.

    services, slices, nodes --view--> views --routes--> what leads where --table--> elements --routing--> the kernel

* `view`: what of a Service, an EndpointSlice and a Node matters here.
* `routes`: pure; which endpoints stand behind which address, by the traffic policies (KEP-2086, KEP-1669, KEP-4444).
* `table`: pure; the elements of nftables that there shall be, and the commands from one state to the next.
* `rules`: the chains, which are the same whatever services there are.
* `routing`: the shell. Changes wake it; one transaction for all that changed meanwhile.

There are no rules or chains of a service's own, since a tool that changes one rule must first read all chains: all
that a service is are elements of maps. So what a change costs does not grow with the number of services.

A new connection is given a number, the route's, as connection mark. The number says how many endpoints there are
(`choose`: jump to `pick-<n>`), a random number below that picks one (`endpoints`: route . random -> address . port).

    services   address . protocol . port -> route       of cluster addresses
    externals  address . protocol . port -> route       of external addresses, asked for from outside
    ports      protocol . port -> route                 node ports, asked for from outside
    ports-in   protocol . port -> route                 node ports, asked for by pods and nodes
    choose     route -> jump to pick-<n>, or to sticky-<n>, or drop
    endpoints  route . index -> address . port
    learn      route -> goto learn-<seconds>            of routes with session affinity
    affinity   client . route -> address . port         learnt; ends by itself
    hairpin    address . address                        endpoints on this node: they may be led to themselves

A route without endpoints is not in `choose`: its connections are refused (TCP reset, ICMP port unreachable).

Tenants: a service leads to endpoints of its own tenant only, as far as the node knows whose they are; whether a pod may
get to another pod is judged after translation, by the forward rules of the node's network. Equal addresses of several
services (`kubernetes` in every tenant) are one entry: that of the oldest.
"""
