"""The VM runtime server: virtual machines under QEMU, served over the Container Runtime Interface.

A pod sandbox is a network namespace with a CNI address that a guest is to have; a container is a virtual machine. What
CRI lacks (power, snapshots, reboots, a watch) is `arktos.vm.v1` on the same socket.

    services/      messages in, messages out
    sandboxes      namespace, CNI, tap, DHCP for each sandbox
    machines       all machines: made, adopted, removed
    life           start, stop, pause, suspend, reboot, adoption;  snapshots beside it
    machine        one machine: record, process, monitor, console
    users          whom each QEMU runs as
    power          the table of states and events, and what a restarted runtime makes of what it finds (pure)
    growth         what of more CPUs and memory a machine that runs can have (pure)
    cgroup         what bounds and counts its QEMU
    qemu_command, cloudinit, resources, filters, messages, consolelog.split: pure, too
    images/        the image store

What holds at any instant, however the runtime ends:

* QEMU is nobody's child that matters: it runs on without us, and keeps its console in a file. A guest that shuts down
  meanwhile leaves its process behind, which tells us so later; a process that is simply gone has crashed.
* A record is saved before what follows from it is done. A suspended machine is either a process or a complete memory
  file, never neither: the file appears by a rename after the guest has stopped, and goes before the guest runs on.
* Two locks order everything: a machine's, held for a whole operation, and its record's, held while it is saved. What
  the guest does by itself needs only the second, so no operation can keep us from noticing it.
* Nothing that a guest or an image wrote decides which file is opened: formats and backing files are named, QEMU's own
  folder is its user's alone, and it alone is that user; everything else reaches it as a descriptor.
"""
