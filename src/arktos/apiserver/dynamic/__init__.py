"""Admission that tenants configure: webhooks and CEL policies, asked about every write (KEP-1872, KEP-3488, KEP-3962).

    configurations   what is configured, per tenant, compiled; follows the store
    asked            one request as rules, expressions and webhooks see it
    policies         policies with their bindings and parameters, evaluated
    hooks            webhooks, called
    running          where expressions run
    preparing        what policies have of expressions, compiled before they are written
    rights           who may bind a policy to parameters
    stage            the order of it all

A write asks `DynamicAdmission.about`: one look into a dict where a tenant has configured nothing. Order as in
Kubernetes: mutating policies, mutating webhooks (once more for who says `IfNeeded`, if somebody changed the object
after them), then, after validation, validating policies and all validating webhooks at a time.

A tenant's configuration is asked about that tenant's requests only, and about none of webhook configurations and
policies themselves. Configurations of `system` count for `system`'s own requests; those with the label
`arktos.io/all-tenants: "true"` for everybody's. An expression runs on the event loop for as long as that may take
(`cel.INLINE`), then from the start in one thread beside it, one at a time, to which the loop never waits.
"""
