"""What the node, its pods and their containers use.

    samples     one look at everything, and rates between two looks. Pure
    collect     takes a look: CRI of every runtime, cgroups, /proc, file systems
    summary     kubelet's Summary API object, from two samples. Pure
    exposition  kubelet's /metrics/resource, from one sample. Pure
    usage       the answer to our own API server, which serves metrics.k8s.io from it. Pure
    service     Stats: takes samples when they are wanted, and answers

The agent's server has them at `/stats/summary` (`summary_json`), `/stats/usage` (`usage`, what our API server asks for)
and `/metrics/resource` (`resource_metrics`, of type `exposition.CONTENT_TYPE`).

CPU is counted in nanoseconds since a container's start, so a rate needs two looks.
"""

from arktos.agent.node.stats.service import Stats

__all__ = ["Stats"]
