"""Actions: what is to be done once to a virtual machine of this node, and what became of it.

service    watches the Actions of this node, carries each out when it is due, writes its result
operations what each operation does, against the VM runtime
journal    what was begun, on disk: an agent that is killed in between neither forgets nor repeats it
"""
