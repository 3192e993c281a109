"""The audit log (Kubernetes' `audit.k8s.io/v1`): who asked for what, when, what came of it. No policy costs nothing.

    policy    which level and stages a request is logged at; pure
    events    what a line of the log holds
    trail     one request on its way: notes what becomes of it, gives out the event of every stage
    log       a bounded queue, the thread that writes it to a file, rotation

A line is written by a thread some milliseconds after its stage, in the order of the stages. A server that is killed may
lose the lines of its last moment; one that stops in order loses none.
"""
