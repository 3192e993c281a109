"""What a pod means to a runtime: pod documents in, CRI messages out. Pure: no I/O, no clock, nothing of the host but
`NodeFacts`.

Semantics are the kubelet's, its texts included, for users search for those. `sandbox` and `container` make the two
messages; the other modules each decide one part of them: `env` (variables of every source), `expansion` ($(VAR)),
`services` (variables that describe Services), `downward` (fields and resources of the pod itself), `resources`
(shares, quota, limits, OOM score), `security`, `dns`, `hosts`, `hostname`. `refusal` names what this node cannot do
for a pod at all.

What a message needs from outside (config maps, image user, mounts) is an argument; `agent.sources` and `agent.volumes`
get it.
"""
