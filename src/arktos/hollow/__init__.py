"""Hollow nodes: thousands of nodes in one process that run pods in name only, for scale tests and benchmarks.

Owns: the node objects, their Leases and heartbeats (`fleet`, on `nodes`); and what happens to the pods that are bound
to them (`pods`, on the pure `machine`): a pod is created, started, crashes, ends and goes as its spec, the configured
latencies and chance say. What is written is what the node's agent would write, field for field (`statuses`).

Invariants: one watch, of the pods bound to these nodes, in all tenants; never one per node. All timers of pods are in
one heap. A pod is never in two writers' hands, and a pod that changes faster than it can be written skips the steps
between. The server's status is the truth: a process that starts finds every pod where the last one left it. Memory per
pod is a small record: nothing of its object is kept.

Flow: watch -> `PodView` -> `Machine` (timers) -> `statuses.patch` -> PATCH pods/status, or DELETE with grace 0.

Not here: containers, machines, networks, volumes, logs and exec. Claims on CPU and memory are taken to fit, since a
scheduler bound the pod; only the number of pods is checked, as a node does.
"""
