"""Images that qemu-img makes on the spot: a chain with a snapshot, encrypted images."""

from __future__ import annotations

from pathlib import Path

from tests.images import qemu_img, qemu_io, run_qemu


def chain_in(folder: Path) -> Path:
    """base.raw (8 MiB, 0x11 in the first MiB) <- mid.qcow2 (16 MiB, 0x22 in cluster 1) <- top.qcow2.

    In top.qcow2 cluster 2 holds 0x33 in snapshot “first” and 0x44 now.
    """
    base, mid, top = (folder / name for name in ("base.raw", "mid.qcow2", "top.qcow2"))
    base.write_bytes(b"\x11" * (1 << 20) + bytes(7 << 20))
    qemu_img("create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", mid, "16M")
    qemu_io(mid, "write -P 0x22 64k 64k")
    qemu_img("create", "-q", "-f", "qcow2", "-b", "mid.qcow2", "-F", "qcow2", top)
    qemu_io(top, "write -P 0x33 128k 64k")
    qemu_img("snapshot", "-c", "first", top)
    qemu_io(top, "write -P 0x44 128k 64k")
    return top


def encrypted_in(folder: Path, method: str, passphrase: str = "abc") -> Path:
    """A disk of 4 MiB with 0x55 in its first cluster, encrypted with ``luks`` or ``aes``."""
    path = folder / f"{method}.qcow2"
    secret = f"secret,id=s,data={passphrase}"
    options = f"encrypt.format={method},encrypt.key-secret=s"
    if method == "luks":
        options += ",encrypt.iter-time=100"
    qemu_img("create", "-q", "--object", secret, "-f", "qcow2", "-o", options, path, "4M")
    target = f"driver=qcow2,file.filename={path},encrypt.key-secret=s"
    ran = run_qemu("qemu-io", "--object", secret, "--image-opts", target, "-c", "write -P 0x55 0 64k")
    assert ran.code == 0, ran.error
    return path
