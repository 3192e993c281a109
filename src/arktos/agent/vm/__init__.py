"""Pods that are virtual machines: the Workload that runs them on a VM runtime.

    document   what the runtime is told of a machine: its CRI config, its boot data
    machine    what the runtime says of a machine
    plan       the table: what is wanted and what is, and the step that follows
    resizing   what is done about other resources than it has
    status     what the pod's status says of it
    workload   looks, plans, does the step

A machine keeps its disk as long as its pod exists, and its node: a stopped one is started again in the same sandbox.
"""
