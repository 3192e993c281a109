"""API priority and fairness (KEP-1040): who has to wait when there is more to do than can be done.

    defaults      the flow schemas and priority levels that a new installation has
    schemas       which schema a request matches; pure
    queues        shuffle-sharded fair queues; pure
    gate          one per server: lets requests through, or has them wait

What Kubernetes counts in requests under way is counted in two ways here, since one process does all the work. Requests
that must wait for something (a write for its commit) hold seats of their level until they are answered. Requests that
are answered at once hold the event loop: all of them together get a few milliseconds of each of its turns, and what
finds the turn used up waits in the queues of its level. From the queues requests are taken by what their flows have
cost so far, so a flood delays itself and nobody else.

A flow is a tenant's: two tenants never share one, and all flows of a tenant together are dealt one hand of a level's
queues. Only the schemas and levels of the tenant `system` count.
"""
