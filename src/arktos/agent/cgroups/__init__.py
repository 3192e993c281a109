"""The cgroups around pods: `<root>/kubepods/{burstable/,besteffort/,}pod<uid>`, in which runtimes put containers.

A pod's cgroup bounds all its containers together and outlives each of them; it is made before the sandbox, its limits
follow the pod's document, and it goes when the last process has. Nothing is remembered: the kernel's tree is the state.

`placing` names and `limits` computes, both pure; `hierarchy` says what the kernel offers, `v1` and `v2` speak its two
dialects, and `groups.Cgroups` is what the agent calls.
"""
