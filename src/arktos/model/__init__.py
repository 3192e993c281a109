"""What objects are. Pure: no I/O, no clock, no randomness; time and chance are parameters.

Owns: the kinds that are served (`registry`, rows in `kinds_*`), what JSON may stand where (`schema`, its tables
`kubernetes.json.gz`, `additions`, `enums`), and every rule about an object's content: structure, defaults, strategy,
validation, patches, apply, selectors, quantities, hash keys, the workload view, printer columns, errors (`status`).

A document on its way in, as the API server drives it:

    structure.check      prunes what is unknown or null, brings values into their one form, tells wrong types (400)
    defaults.apply       fills in what a server fills in
    strategy.prepare_*   what a verb may change; metadata that the server owns
    validation.*         what a server refuses (422), with field paths
    fields.selectable    what selectors may ask for, beside the encoded bytes from then on

Invariants: objects are plain dicts, as decoded; a function that changes one says "in place". All that differs between
kinds is data in their rows and in tables keyed by type; callers outside this package never ask for a kind by name.
Errors that a client sees are `status.ApiError`s, worded as Kubernetes words them.

Not here: bytes and media types (`wire`), revisions and storage (`store`), who may do what (`apiserver`).
"""
