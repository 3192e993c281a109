"""DNS for the pods of a node (Kubernetes DNS-Based Service Discovery 1.1).

    a query -> who asks? -> a cluster name: `zone.lookup` over the asker's own tenant
                         -> another name: `forward` to the node's own resolvers

* `askers`: whose names a source address is answered, that of the node itself included.
* `records`: services, endpoints and pods by tenant, as mirrors tell them.
* `zone`: pure; names and types to answers.
* `messages`: wire form: what may be asked, how an answer is written, truncated and remembered.
* `forward`: other names; bounded, with a cache, and a check that it does not lead back to us.
* `server`: UDP and TCP on the cluster's DNS address, which is put on `lo`.

Tenants: equal names mean different things to different tenants. The asker's tenant is found by its source address,
which the node's network does not let it forge; who is not known is refused. What is remembered of cluster names is
kept by tenant, and forgotten with every change of that tenant.
"""
