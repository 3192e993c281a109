"""Custom resources in the API server: which kinds a tenant has beside the built-in ones, and the life of definitions.

    definitions   tenant, group, version, plural -> Kind: the tenant's own definitions, then those that `system` shares
    forms         stored bytes as a version has them: as they are where possible, converted once where not
    sharing       definitions of `system` in the lists of every tenant
    naming        admission of definitions: names, conditions, all in the commit that stores them
    upkeep        what follows from a commit: names that became free, objects of definitions that go

A definition's name is `plural.group`, so it is found by key in the store's index: there is no registry to keep up to
date, a new definition is served as soon as its commit is visible, and one that nobody uses costs its bytes. Objects
lie under the group-resource, as all do, and each belongs to its tenant: sharing a definition shares no object.

A write of an object is bound, inside its commit, to the revision of the definition that it was checked against.
"""
