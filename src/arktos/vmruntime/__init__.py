"""The VM runtime server: virtual machines under QEMU, served over the Container Runtime Interface."""
