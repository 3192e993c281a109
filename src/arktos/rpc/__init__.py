"""gRPC: the messages and methods that Arktos speaks with runtimes, and how a method is called and served.

`cri` is the Container Runtime Interface, `vm` our own service for virtual machines beside it, `containerd` the event
stream of containerd. `protos/` holds the sources and what protoc made of them (`make rpc`). Imports nothing of ours.
"""
