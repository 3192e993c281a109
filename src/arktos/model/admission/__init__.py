"""Admission that tenants configure, as far as it is pure: which requests a rule means, what a policy says of one, what
a webhook is asked and how its answer is read.

Nothing here knows a store, a socket or a clock. `apiserver.dynamic` feeds it.
"""
