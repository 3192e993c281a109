"""Aggregation: a tenant's extension servers answer for group-versions of their own (APIService).

    local          the APIServices of what this server answers itself; they are stored nowhere
    extensions     which extension answers for which group-version of which tenant
    connecting     the way to an extension: its address, its certificate, who is told to ask
    availability   whether an extension answers, looked at again and again
    merging        discovery and OpenAPI of both together
    aggregator     answers requests for what an extension serves

An extension is of one tenant and is reached at a pod of that tenant's service. It is told who asks by the headers
`X-Remote-*`, which it may believe because they come with the front proxy's certificate; nobody else can send them,
since whatever a client says of that kind stays here. What this server serves itself nobody else can answer for.
"""
