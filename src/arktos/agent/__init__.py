"""The node agent: runs the pods that are bound to its node, containers and virtual machines alike."""
