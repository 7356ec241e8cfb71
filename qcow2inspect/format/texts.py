"""What the one sentence of a declaration does not say of a field: what QEMU does with it, and what to look at.

One entry a field, ``Structure.field``; entries of a structure that inherits or repeats another's are found under the
first. Each is two texts: what QEMU does, and what an examiner should look at.
"""

from __future__ import annotations

__all__ = ["TEXTS", "THINGS", "text_of"]

_RESERVED_L2 = (
    "Reading ignores these bits; “qemu-img check” counts the entry as corrupt and never repairs it.",
    (
        "A set bit means that no known writer made this entry: look whether its whole table was overwritten, "
        "or whether a newer program wrote it."
    ),
)
_RESERVED_BITMAP = (
    "QEMU does not load a bitmap with such an entry.",
    "A set bit means that no known writer made this entry: the table was overwritten, or damaged.",
)
_COPIED_L2 = (
    (
        "When it is set, QEMU writes in place and does not ask the refcount; when it is clear, QEMU copies "
        "the cluster before it writes. “qemu-img check” compares it with the refcount."
    ),
    (
        "Clear with a refcount of 2 or more: a snapshot shares the cluster. Set although others use the "
        "cluster: the next write of the guest changes the snapshot as well."
    ),
)
_HOST_OFFSET_L2 = (
    (
        "Guest data is read from there. An offset that is no multiple of the cluster size is refused with an "
        "I/O error; one past the end of the file reads as zeros."
    ),
    (
        "Follow it: the cluster must hold guest data and nothing else. Two entries with one offset, or one "
        "that leads to a table, mean that a cluster was given away twice."
    ),
)
_COMPRESSED_L2 = (
    "QEMU reads the other bits as a compressed cluster descriptor: start and length of a stream, not an offset.",
    (
        "Compressed clusters are made by qemu-img convert, commit and backup, hardly ever by a running guest:"
        " they tell which data was there when the image was made."
    ),
)

TEXTS: dict[str, tuple[str, str]] = {
    # -- header ---------------------------------------------------------------------------------------------------
    "HeaderV2.magic": (
        "Without these four bytes QEMU does not take the file for qcow2, and probing takes it for a raw disk.",
        "A missing magic with tables behind it is a destroyed header, not an empty disk: the rest may all be there.",
    ),
    "HeaderV2.version": (
        "2 is compat=0.10: no feature bits, 16-bit refcounts. 3 is compat=1.1. Any other number is refused.",
        "A 2 in a header whose length fits version 3 was changed by “qemu-img amend”, or by hand to hide feature bits.",
    ),
    "HeaderV2.backing_file_offset": (
        "QEMU reads the name there and opens that file; the name must end within the first cluster.",
        "It names another file whose bytes the guest saw: get it, with its own backing file, from the same day.",
    ),
    "HeaderV2.backing_file_size": (
        "More than 1023 bytes are refused. The name has no zero byte at its end.",
        "Bytes behind the name may be the rest of an older, longer one: “qemu-img rebase” does not wipe it.",
    ),
    "HeaderV2.cluster_bits": (
        "9 to 21 are accepted: clusters of 512 bytes to 2 MiB; 16 is what QEMU makes unless told otherwise.",
        "All offsets and the reach of each table follow from it: a wrong value turns the whole image to nonsense.",
    ),
    "HeaderV2.size": (
        "The guest sees a disk of this size, in whole sectors. Mapped clusters behind it are never read.",
        "Compare it with what the partition table claims. An image that was shrunk keeps its data behind the end.",
    ),
    "HeaderV2.crypt_method": (
        "0 plain, 1 AES-CBC with the passphrase as the key, 2 LUKS. QEMU opens method 1 for qemu-img only.",
        "Tables are never encrypted: which clusters are used, and when, can be told without any key.",
    ),
    "HeaderV2.l1_size": (
        "Fewer entries than the size needs are refused; more than 32 MiB of them are refused too. More are allowed.",
        "Surplus entries with offsets are what is left of a larger disk.",
    ),
    "HeaderV2.l1_table_offset": (
        "Must be a multiple of the cluster size. The whole map of the active disk starts here.",
        (
            "A new image has it right behind the refcount block; another place means that the disk grew or a "
            "snapshot was reverted to."
        ),
    ),
    "HeaderV2.refcount_table_offset": (
        "Must be a multiple of the cluster size. It is needed for writing only: a reader gets along without it.",
        "A new image has it in the second cluster; another place means that the image outgrew its first table.",
    ),
    "HeaderV2.refcount_table_clusters": (
        "The table may have 8 MiB at most; zero clusters are refused unless the image is read only for repair.",
        "Together with refcount_order it bounds how large the file can ever have been counted.",
    ),
    "HeaderV2.nb_snapshots": (
        "At most 65536. Snapshots are counted here, not marked in their table.",
        "A smaller number than there are entries hides snapshots from every tool: look behind the last entry.",
    ),
    "HeaderV2.snapshots_offset": (
        "Must be a multiple of the cluster size; it means nothing while nb_snapshots is 0.",
        "An offset although no snapshot is left tells that there were some; the old table may still lie there.",
    ),
    "HeaderV3.incompatible_features": (
        "QEMU refuses an image with a bit that it does not know.",
        "The bits dirty and corrupt tell how the image was left; look at them before anything is opened for writing.",
    ),
    "HeaderV3.compatible_features": (
        "Unknown bits are ignored.",
        "lazy_refcounts explains refcounts that are off by design while the dirty bit is set.",
    ),
    "HeaderV3.autoclear_features": (
        "A writer clears the bits it does not know, so that data which depends on them is distrusted from then on.",
        "An extension that is there while its bit is clear: a program that does not know it wrote to the image.",
    ),
    "HeaderV3.refcount_order": (
        "0 to 6 are accepted: 1 to 64 bits; 4 is what QEMU makes. Version 2 images have 16 bits always.",
        "Few bits limit how many snapshots can share a cluster.",
    ),
    "HeaderV3.header_length": (
        (
            "At least 104 and not past the first cluster; that it is a multiple of 8 is not checked. The header "
            "extensions start there."
        ),
        "The length dates the writer: 104 is QEMU 1.1 to 5.0, 112 is QEMU 5.1 and later.",
    ),
    "Header.compression_type": (
        "0 zlib, 1 zstd. Anything but 0 needs the incompatible bit compression_type, else QEMU refuses the image.",
        "One type for all clusters: a stream that inflates with the other one was copied in from elsewhere.",
    ),
    "Header.padding": ("Ignored.", "Seven bytes in which something can be hidden."),
    "Incompatible.dirty": (
        (
            "Set while an image with lazy refcounts is open for writing. On the next opening for writing, QEMU "
            "counts all refcounts anew, which changes the file."
        ),
        "The machine or QEMU crashed, or the copy was taken while the guest ran. Never open the evidence for writing.",
    ),
    "Incompatible.corrupt": (
        "QEMU set it when it caught a write that would have destroyed metadata. It opens the image read-only only.",
        "The damage is real and older than the copy: the findings on clusters with several owners say where.",
    ),
    "Incompatible.data_file": (
        "Guest data is read from the file that the data file extension names, or that the command line names.",
        "This file holds tables alone. Without the other one there is no guest data.",
    ),
    "Incompatible.compression_type": (
        "Must be set exactly if compression_type is not 0.",
        "If it contradicts the field, the header was edited.",
    ),
    "Incompatible.extended_l2": (
        "L2 entries are 16 bytes; an L2 table of one cluster maps half as much. Needs clusters of 16 KiB at least.",
        "Toggled by hand it makes every second entry a bitmap, and the map nonsense.",
    ),
    "Incompatible.unknown": (
        "QEMU refuses the image, with the name from the feature name table if it has one.",
        "A newer program made the image, or the header is damaged.",
    ),
    "Compatible.lazy_refcounts": (
        "QEMU writes refcounts late and sets the dirty bit meanwhile.",
        "Leaks and low refcounts in a dirty image are no sign of tampering.",
    ),
    "Compatible.unknown": ("Ignored.", "A newer program made the image, or the header is damaged."),
    "Autoclear.bitmaps": (
        "Without it QEMU ignores the bitmaps and drops them on the next write.",
        "Set: the dirty bitmaps agree with the data and tell which parts changed since the last backup.",
    ),
    "Autoclear.raw_data_file": (
        "Promises that the data file alone is the raw disk: guest and host offsets are equal.",
        "Set: the data file can be examined as a raw image. Any entry that says otherwise is damage.",
    ),
    "Autoclear.unknown": ("A writer clears them.", "A newer program made the image and no older one wrote since."),
    # -- extensions -----------------------------------------------------------------------------------------------
    "Record.magic": (
        "QEMU skips kinds that it does not know, and keeps them when it rewrites the header.",
        "An unknown kind is another program's mark, or a place to hide bytes.",
    ),
    "Record.length": (
        "Data is padded to 8 bytes. A length that leads past the first cluster is refused.",
        "Bytes between the end of the data and the next 8 should be zero.",
    ),
    "BitmapsPointer.nb_bitmaps": ("1 to 65535.", "Names of bitmaps tell which backup program worked here."),
    "BitmapsPointer.reserved": ("Anything but zero is refused.", "Not zero: damaged, or made by hand."),
    "BitmapsPointer.bitmap_directory_size": (
        "Must be what its entries take, 64 MiB at most.",
        "A surplus holds entries that no tool lists.",
    ),
    "BitmapsPointer.bitmap_directory_offset": (
        "Must be a multiple of the cluster size.",
        "Saving bitmaps moves the directory: older ones may lie in free clusters.",
    ),
    "EncryptionPointer.offset": (
        "Must be a multiple of the cluster size; the LUKS header lies there, not at the start of the file.",
        "Without these clusters the data is lost even with the passphrase: see to it that they were copied.",
    ),
    "EncryptionPointer.length": ("Header and all key material.", "Key slots behind the length are not looked at."),
    "FeatureName.type": ("0 incompatible, 1 compatible, 2 autoclear.", "Other numbers name nothing."),
    "FeatureName.bit": ("For messages only.", "A name for a bit the specification names otherwise dates the writer."),
    "FeatureName.name": (
        "Shown when a feature is not known; else unused.",
        "The list grows with each QEMU: it dates the program that made the image.",
    ),
    # -- mapping --------------------------------------------------------------------------------------------------
    "L1Entry.copied": (
        "When it is clear, QEMU copies the L2 table before it changes an entry in it.",
        "Clear in the active table: a snapshot shares the L2 table. Set in a snapshot's table it means nothing.",
    ),
    "L1Entry.reserved_high": _RESERVED_L2,
    "L1Entry.reserved_low": _RESERVED_L2,
    "L1Entry.l2_table_offset": (
        (
            "Must be a multiple of the cluster size, else reads fail and the image is marked corrupt. 0: the "
            "whole range is read from the backing file, or as zeros."
        ),
        "The table there must hold entries. If it holds small numbers throughout, or text, it was overwritten.",
    ),
    "L2Entry.copied": _COPIED_L2,
    "L2Entry.compressed": _COMPRESSED_L2,
    "L2Entry.reserved_high": _RESERVED_L2,
    "L2Entry.reserved_low": _RESERVED_L2,
    "L2Entry.host_cluster_offset": _HOST_OFFSET_L2,
    "L2Entry.reads_as_zero": (
        "The guest reads zeros, whatever the host cluster and the backing file hold. No version 2 image may have it.",
        "With an offset, the cluster is kept and may still hold what the guest had before it was discarded.",
    ),
    "SubclusterBitmap.reads_as_zero": (
        "A subcluster whose bit is set here and in the other half is refused.",
        "Set while the cluster is allocated: the host bytes of that subcluster may still hold older data.",
    ),
    "SubclusterBitmap.allocated": (
        "The guest reads the subcluster from the host cluster; without it, from the backing file.",
        "Host bytes of subclusters that are not allocated belong to nobody: look at what they hold.",
    ),
    "CompressedDescriptor.copied": (
        "Ignored when reading; “qemu-img check” counts a set bit as corruption.",
        "Set: the entry was edited, or is no descriptor at all.",
    ),
    "CompressedDescriptor.compressed": _COMPRESSED_L2,
    "CompressedDescriptor.additional_sectors": (
        "QEMU reads the rest of the first sector and this many more, and inflates what it needs.",
        "The count is generous: bytes behind the end of the stream are slack, often of an older stream.",
    ),
    "CompressedDescriptor.host_offset": (
        "Any byte: streams are packed one behind the other. One broken stream fails reads of its whole guest cluster.",
        "Streams of one run of qemu-img lie in rising order; one that lies elsewhere came later.",
    ),
    "RefcountTableEntry.refcount_block_offset": (
        "Must be a multiple of the cluster size. 0: all clusters of that block count as free.",
        "A missing block for clusters in use lets the next writer overwrite them.",
    ),
    "RefcountTableEntry.reserved_low": _RESERVED_L2,
    # -- snapshots ------------------------------------------------------------------------------------------------
    "SnapshotEntry.l1_table_offset": (
        "Must be a multiple of the cluster size. Reverting copies this table over the active one.",
        "Compare the two tables: where they differ the guest has written since.",
    ),
    "SnapshotEntry.l1_size": (
        "32 MiB of entries at most.",
        "Differs from the active one: the disk was resized after the snapshot.",
    ),
    "SnapshotEntry.id_size": ("Names the snapshot for qemu-img and HMP.", "Empty in no image that QEMU wrote."),
    "SnapshotEntry.name_size": ("1023 bytes at most.", "Names are free text, often of a person or a backup job."),
    "SnapshotEntry.date_sec": (
        "The host's clock in UTC when the snapshot was made; nothing depends on it.",
        "Compare the order of dates with that of ids: a snapshot from the future tells of a wrong or turned clock.",
    ),
    "SnapshotEntry.date_nsec": (
        "Nothing depends on it.",
        "Below 10^9 in any entry that QEMU wrote; zero in all tells of another writer.",
    ),
    "SnapshotEntry.vm_clock_nsec": (
        "How long the guest had run; 0 for snapshots by qemu-img of a machine that was off.",
        "Not 0: the guest ran, and there may be a VM state with its memory.",
    ),
    "SnapshotEntry.vm_state_size": (
        "32 bits, for old readers. The extra data has the number that counts.",
        "Not 0: the memory of the machine lies behind the end of the snapshot's disk; look for keys and passwords.",
    ),
    "SnapshotEntry.extra_data_size": (
        "16 at least in version 3; 24 since QEMU 6.0. More than 1024 bytes are refused.",
        "It dates the writer; unknown bytes behind the known fields are another program's.",
    ),
    "SnapshotExtra.vm_state_size": (
        "Loading the snapshot reads this many bytes behind the disk.",
        "The VM state is memory and devices: view it as state “VM state” of the snapshot.",
    ),
    "SnapshotExtra.disk_size": (
        "The size that the disk had; reverting resizes it.",
        "Differs from the active size: the disk was resized since.",
    ),
    "SnapshotExtra.icount": (
        "For record and replay only: all ones from savevm, 0 from qemu-img snapshot.",
        "So it tells whether the machine ran when the snapshot was made.",
    ),
    # -- bitmaps --------------------------------------------------------------------------------------------------
    "BitmapDirectoryEntry.bitmap_table_offset": ("Must be a multiple of the cluster size.", "Leads to the bits."),
    "BitmapDirectoryEntry.bitmap_table_size": (
        "Must fit disk size and granularity.",
        "A surplus tells of a larger disk.",
    ),
    "BitmapDirectoryEntry.flags": (
        "An unknown flag is refused.",
        "in_use tells that QEMU did not end properly; auto that somebody still tracks writes.",
    ),
    "BitmapDirectoryEntry.type": ("1 only.", "Another number: damaged, or a program that nobody knows."),
    "BitmapDirectoryEntry.granularity_bits": (
        "9 to 31; the cluster size, and 64 KiB at most, unless told otherwise.",
        "How exactly a set bit tells where the guest wrote.",
    ),
    "BitmapDirectoryEntry.name_size": ("1 to 1023.", "Names of bitmaps tell which backup program worked here."),
    "BitmapDirectoryEntry.extra_data_size": (
        "QEMU refuses extra data unless the flag allows it.",
        "There is none in any image of QEMU.",
    ),
    "BitmapFlags.in_use": (
        "Set while QEMU runs. A bitmap that still has it is not loaded; “qemu-img bitmap --remove” is the way out.",
        "QEMU crashed, or the copy was taken while it ran: the bits tell an older state.",
    ),
    "BitmapFlags.auto": ("The bitmap records writes from the start.", "A backup program relies on it."),
    "BitmapFlags.extra_data_compatible": (
        "QEMU refuses a bitmap with it, although the specification has it.",
        "Not set by QEMU.",
    ),
    "BitmapFlags.unknown": ("The bitmap is refused.", "Damaged, or made by a newer program."),
    "BitmapTableEntry.reserved_high": _RESERVED_BITMAP,
    "BitmapTableEntry.reserved_low": _RESERVED_BITMAP,
    "BitmapTableEntry.bitmap_cluster_offset": (
        "The bits of that part of the disk. Must be a multiple of the cluster size.",
        "Set bits tell where the guest wrote since the bitmap was cleared.",
    ),
    "BitmapTableEntry.all_ones": (
        "Saves a cluster of ones. Must be 0 where there is an offset.",
        "Everything there counts as written.",
    ),
    # -- encryption -----------------------------------------------------------------------------------------------
    "LuksHeaderFields.magic": (
        "LUKS and 0xba 0xbe, else the image cannot be unlocked.",
        "Missing: destroyed?",
    ),
    "LuksHeaderFields.version": ("1 only.", "Version 2 is never inside qcow2."),
    "LuksHeaderFields.cipher_name": ("aes, serpent, twofish, cast5.", "What the key must fit."),
    "LuksHeaderFields.cipher_mode": (
        "xts-plain64 unless told otherwise. The number that a sector is encrypted with counts host bytes.",
        "With ecb, or cbc and plain, equal sectors show through.",
    ),
    "LuksHeaderFields.hash_spec": ("sha256 unless told otherwise.", "Needed to try passphrases."),
    "LuksHeaderFields.payload_offset": ("Ignored inside qcow2.", "Set as if the data followed; it does not."),
    "LuksHeaderFields.key_bytes": ("64 for aes-256 in xts mode.", "Must fit the cipher."),
    "LuksHeaderFields.mk_digest": (
        "Tells whether a passphrase gave the right master key.",
        "Two images with one digest and salt share a master key: they are copies.",
    ),
    "LuksHeaderFields.mk_digest_salt": ("Random.", "Two images with one salt are copies of one another."),
    "LuksHeaderFields.mk_digest_iterations": ("At least 1000, by the speed of the host.", "Hints at the host's speed."),
    "LuksHeaderFields.uuid": ("Not used.", "The same in two images: one is a copy of the other."),
    "LuksKeySlot.active": (
        "0x00AC71F3 enabled, 0x0000DEAD disabled. All enabled slots are tried.",
        "More than one: other passphrases exist. Disabled with key material left: that passphrase still opens it.",
    ),
    "LuksKeySlot.iterations": ("Set to take a second or two on the host that made it.", "The cost of each guess."),
    "LuksKeySlot.salt": ("Random, 32 bytes.", "Kept in a disabled slot it tells that the slot was in use."),
    "LuksKeySlot.key_material_offset": ("In sectors of 512 bytes from the LUKS header.", "Must lie inside its length."),
    "LuksKeySlot.stripes": ("4000.", "Each part is needed: one lost sector loses the slot."),
    # -- version 1 ------------------------------------------------------------------------------------------------
    "HeaderV1.mtime": ("Not used.", "Modification time of the backing file when the image was made; 0 by QEMU."),
    "HeaderV1.cluster_bits": ("9 to 16; 12 without a backing file.", "9 tells of an overlay on a backing file."),
    "HeaderV1.l2_bits": ("6 to 13.", "cluster_bits and l2_bits together give the reach of an L1 entry."),
    "HeaderV1.padding": ("Ignored.", "Two bytes in which something can be hidden."),
    "HeaderV1.l1_table_offset": ("Follows the header; any place is accepted.", "The whole map starts here."),
    "HeaderV1.version": ("The block driver “qcow”, not qcow2.", "No refcounts and no snapshots: nothing is counted."),
    "L1EntryV1.l2_table_offset": ("0: from the backing file, or zeros.", "Tables may lie anywhere, unaligned too."),
    "L2EntryV1.compressed": _COMPRESSED_L2,
    "L2EntryV1.host_cluster_offset": _HOST_OFFSET_L2,
    "CompressedDescriptorV1.compressed": _COMPRESSED_L2,
    "CompressedDescriptorV1.compressed_size": ("Inflated to one cluster.", "In bytes, not sectors: there is no slack."),
    "CompressedDescriptorV1.host_offset": ("Any byte.", "Streams lie in the order in which they were written."),
}
"""``Structure.field`` -> what QEMU does with it, what an examiner should look at."""

THINGS: dict[str, tuple[str, str, str]] = {
    "header": (
        "The first bytes of the file: how large the disk is, and where the tables start",
        "Read first, and refused as a whole if a field is impossible.",
        "If it is lost, the tables may all be there still: they can be searched for, and assumed with --assume.",
    ),
    "extension": (
        "A header extension: a kind, a length, and bytes, one behind the other after the header",
        "Kinds that QEMU does not know are skipped, and kept.",
        "Unknown kinds, and bytes between and behind the extensions.",
    ),
    "l1": (
        "The L1 table: for each stretch of the disk, where the L2 table is that maps it",
        "One table for the active state, and one for each snapshot.",
        "Entries that lead to the same L2 table, or to what is no L2 table.",
    ),
    "l2": (
        "An L2 table: for each guest cluster of a stretch of the disk, where its bytes are in the file",
        "Takes one cluster. QEMU keeps those it used last in memory and writes them back late.",
        "Whether it holds entries at all: overwritten tables hold small numbers throughout, or text.",
    ),
    "refcount": (
        "A refcount: how many pointers lead to a host cluster; 0 for a free one",
        "Looked up by refcount table and refcount block; a reader needs none of them, a writer trusts them all.",
        "Too low, and the next write destroys what is in use; too high is a leak; used by nothing may be lost data.",
    ),
    "snapshot": (
        "The snapshot table: id, name, time and L1 table of each internal snapshot",
        "Entries of varying length, one behind the other; nb_snapshots in the header says how many count.",
        "What lies behind the last entry: entries of snapshots that were deleted.",
    ),
    "bitmap": (
        "The bitmap directory: persistent dirty bitmaps, which tell where the guest wrote",
        "Loaded when the image is opened for writing, stored when it is closed.",
        "Names, and bits that were set since the last backup.",
    ),
    "luks": (
        "The LUKS header: cipher, key slots, and the master key, encrypted by each passphrase",
        "Read when the image is opened with a passphrase.",
        "Which slots are in use, and what is left in those that are not.",
    ),
    "data": (
        "Guest data: the bytes of one cluster of the disk, as they are",
        "Read and written where the L2 entry says.",
        "Whose they are: an L2 entry of the active state, of a snapshot, or of both.",
    ),
    "compressed": (
        "A compressed cluster: a stream that inflates to one cluster of the disk",
        "Inflated whole for each read; a guest that writes there gets a new cluster that is not compressed.",
        "Streams that no entry leads to any more: older content of the same place.",
    ),
    "free": (
        "Bytes that nothing points to",
        "QEMU gives them away again for the next write that needs a cluster.",
        "Their content: deleted snapshots, discarded data and older tables stay there until they are overwritten.",
    ),
}
"""Kind of a node, which is also a topic -> what it is, what QEMU does with it, what to look at."""

_SAME = {"L2EntryExtended": "L2Entry", "HeaderV1": "HeaderV2"}
"""A structure -> the one that says the same of fields that it has no text of its own for."""


def text_of(structure: str, field: str) -> tuple[str, str]:
    """What QEMU does with a field, and what to look at; empty texts if nothing is told.

    Args:
        structure: name of the class that declares it.
        field: its name.
    """
    found = TEXTS.get(f"{structure}.{field}") or TEXTS.get(f"{_SAME.get(structure, structure)}.{field}")
    return found or ("", "")
