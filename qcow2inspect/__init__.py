"""Look into QEMU disk images."""
