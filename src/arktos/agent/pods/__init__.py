"""The life of the pods of this node.

    service     the informer's pods, runtimes' events, orphans        -> one worker per uid
    worker      one pod: observe, status, then sync, kill or remove    -> a Workload
    containers  the Workload of containers: plan (pure), then its steps
    table       what everyone else reads

A pod is known by its uid alone: two tenants may have the same namespaces and names. Nothing is remembered on disk:
what runs is read from the runtime, what should run from the API server, so a restart of either, or of the agent, finds
its way back by looking. Nothing polls: containerd's events, probes' results and finished pulls wake the worker of the
pod concerned; a look at everything each minute is the net below that.
"""
