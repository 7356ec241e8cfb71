"""The qcow2 specification as classes: pure, no input or output, no judgement.

::

    host file                                        guest disk
    +-----------+
    | cluster 0 |  header, header extensions, backing file name        header.py, extensions/
    +-----------+
    | L1 table  |--> L2 table --> L2 table ...                          mapping.py
    +-----------+       |
    | L2 table  |       +--> cluster: normal, zero-alloc -----------> guest cluster
    +-----------+       +--> byte run: compressed ------------------> guest cluster
    | refcount  |       +--> nothing: unallocated, zero-plain
    |   table   |--> refcount block --> one count per host cluster      refcount.py
    +-----------+
    | snapshots |--> one L1 table each                                  snapshot.py
    | bitmaps   |--> bitmap table --> bitmap data                       bitmap.py
    | LUKS      |                                                       luks.py
    +-----------+

A module can be laid beside the specification (docs/interop/qcow2 of QEMU) and read line by line. Version 1
("qcow") has its own small world in v1.py.
"""
