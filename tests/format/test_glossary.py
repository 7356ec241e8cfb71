"""The glossary holds every declared field once, with the words of its declaration."""

from __future__ import annotations

from qcow2inspect.format.glossary import declared
from qcow2inspect.format.header import Header
from qcow2inspect.format.luks import LuksHeaderFields
from qcow2inspect.format.mapping import L2Entry


def test_every_field_of_the_header_is_there_once() -> None:
    found = [field for field in declared() if field.structure in ("HeaderV2", "HeaderV3", "Header")]
    assert [field.name for field in found] == [row.name for row in Header.ROWS]
    assert [field.meaning for field in found] == [row.doc for row in Header.ROWS]
    assert found[7].place == "bytes 0x24 to 0x27"


def test_flags_and_borders_that_depend_on_the_cluster_size() -> None:
    found = {(field.structure, field.name): field for field in declared()}
    assert found["L2Entry", "copied"].place == "bit 63"
    assert found["L2Entry", "copied"].meaning == L2Entry.copied.doc
    assert found["CompressedDescriptor", "host_offset"].place == "bits 0 to 53 with clusters of 64 KiB"
    assert found["CompressedDescriptorV1", "compressed_size"].place == "bits 51 to 62 with clusters of 4 KiB"


def test_values_have_names() -> None:
    found = {(field.structure, field.name): field for field in declared()}
    assert found["HeaderV2", "crypt_method"].values == ("0 none", "1 aes", "2 luks")
    assert found["BitmapDirectoryEntry", "flags"].values[0] == "bit 0 in_use"
    assert found["HeaderV2", "l1_size"].values == ()


def test_every_entry_is_complete() -> None:
    assert len(declared()) > 100
    assert len({(field.structure, field.name) for field in declared()}) == len(declared())
    assert {row.name for row in LuksHeaderFields.ROWS} <= {field.name for field in declared()}
    for field in declared():
        assert field.meaning
        assert field.about
        assert field.spec, field
