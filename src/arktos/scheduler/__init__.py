"""The scheduler: which node runs a pod, be its workload containers or a virtual machine. One for all tenants.

Owns: the picture of nodes and pods as columns (`nodes`, `tallies`, `cluster`), what a pod demands (`terms`,
`templates`, `pods`), filters and scores (`standing`, `affinity`, `spread`, `volumes`), the plan (`planning`,
`preemption`), the order in which pods are tried (`queue`) and the pure core of it all (`engine`). Around that core:
`service` feeds events in, `binding` and `verdicts` carry decisions out, `process` is what the command runs.

Invariants: no node gets more than it has, whatever order events come in: a plan is made and its pod booked (assumed) in
one step of the loop, against the newest state. Same events, same times, same seed: same decisions. Pods of different
tenants never see each other's affinity or spread; they share nodes. A status is written when it changes only.

Flow: informer event -> `Engine.pod_changed` / `node_changed` -> `Queue` (active, backing off, unschedulable) ->
`Engine.schedule` -> `Planner.plan` -> assumed -> `Bind` | `Refused` -> POST pods/{name}/binding | status, event ->
informer event confirms. A write that fails takes the booking back and queues the pod again.

How it is fast: equal pods share a `Template`; a template's `Standing` keeps verdict and rank of every node in arrays; a
change of a node makes stale one entry of each. A pod then costs one argmax, plus vector operations where affinity or
spread count.

Not here: setting node conditions, evicting for taints, making volumes; a VM that is shut down stays where it is booked.
numpy is imported when the first node comes: a control plane without nodes does without.
"""
