"""Custom resources: kinds that a tenant defines, as apiextensions.k8s.io/v1 has them. Pure.

Owns what a CustomResourceDefinition says of its objects, from its schema to its cells. `definition.Definition` is one
revision of a stored definition; it makes a row of `model.kinds` for each version, whose `custom` (a `CustomType`)
answers wherever a built-in kind would be looked up in a table: structure, defaults, validation, topology, columns.

    schema       a node of a structural schema; pruning and defaulting
    values       validation by OpenAPI's checks, with ratcheting; formats, patterns (RE2)
    rules        x-kubernetes-validations
    typed        the schema as server-side apply sees it
    jsonpath     paths of columns and scales; printing reads cells and replicas by them
    names        names, conditions, which definitions are shared
    strategy     what each verb may change

Invariants: a definition has been validated when it was stored (`model.validation.definitions`), so schemas are
structural here; objects may be anything. Nothing is compiled before it is used. No code of a tenant runs longer than
its text is worth: patterns are linear, rules have a budget.

It does not know who may see a definition, nor where objects are: that is `apiserver.custom`.
"""
