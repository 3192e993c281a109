"""The host's network primitives: namespaces, links, taps, CNI plugins, DHCP. Shared by vmruntime and network."""
