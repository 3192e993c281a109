"""The pod network of a node: providers, what answers CNI, routing of services, DNS."""
