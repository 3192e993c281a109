"""The pod network of a node: providers, what answers CNI, routing of services, DNS.

    container runtime -> cni/shim.py -> unix socket -> cni/daemon.py -> Provider -> the kernel

`cni` speaks the specification and knows no network. `provider` is the seam; `embedded` is the provider that needs
nothing but a Linux kernel, and others may stand in its place. `services` and `dns` route what clients call by name.
`watches` holds what all of them know of the cluster. `process` puts them together.

A node's network is in the network namespace of the process: several nodes can be on one machine, each in its own. All
that the kernel was told goes on without the process; after a restart it is compared with what should be, and only the
difference is changed. Connections never notice.
"""
