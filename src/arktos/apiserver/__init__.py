"""The API server: who asks, what for, may they, and the verb that answers.

A request passes `dispatch` (path -> `requestinfo`, credential -> `authn`, right -> `authz`) to one file of `verbs` or
`subresources`. Reads answer from memory through `reader` (the store, overlaid with what is virtual); writes share the
pipeline in `writes` (default, `admission`, validate, book fields, commit). `watching` fans events out. `documents`
answers everything that is no resource. `server` puts it all together.

Invariants: objects live as encoded bytes and are not decoded to be read; everything that a write depends on is checked
inside its commit; a caller never gets another tenant's answer; everything about a kind is data in `model`.

Not here: storage (`store`), bytes on the wire (`wire`), what objects mean (`model`).
"""
