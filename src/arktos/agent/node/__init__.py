"""The node as a whole: its object, its Lease, what it has left, and what is used on it.

    agent         NodeAgent, all of it put together
    machine, host what the machine is, and what it uses now: the kernel's own files
    runtime_health, conditions, status    what a node says of itself (pure but for asking the runtimes)
    registration, heartbeat               how that gets to the API server
    thresholds, ranking, local_storage    what is short, and whose turn it is to go (pure)
    eviction      the loop that acts upon it
    image_gc      images that nobody uses
    log_rotation, container_logs          logs of containers (pure, and the files)
    stats/        statistics of the node, its pods and their containers

Everything here reads the table of pods and changes no pod: to end one, it asks the pod workers.
"""
