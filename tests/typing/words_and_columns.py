# Each line that ends in "# refused" must be refused by the type checker, and no other line.
import numpy as np
import numpy.typing as npt

from qcow2inspect.layout.structure import Structure, u32, u64
from qcow2inspect.layout.word import Bits, R, Word, flag, number, offset, reserved
from qcow2inspect.units import GuestOffset, HostOffset


class Entry(Word[R]):
    """An entry."""

    copied = flag(63, "flag")
    gap = reserved(60, 62)
    where = offset(9, 59, HostOffset, "offset")
    low = number(0, 8, "number")


class Pair(Structure):
    """A pair."""

    first: HostOffset = u64(0, "offset")
    second: int = u32(8, "number")


one: HostOffset = Entry(5).where
two: bool = Entry(5).copied
three: int = Entry(5).low
wrong: GuestOffset = Entry(5).where  # refused

column: npt.NDArray[np.uint64] = np.zeros(3, dtype=np.uint64)
offsets: npt.NDArray[np.uint64] = Entry(column).where
flags: npt.NDArray[np.bool_] = Entry(column).copied
scalar: HostOffset = Entry(column).where  # refused
declared: Bits[bool, npt.NDArray[np.bool_]] = Entry.copied

pair = Pair(HostOffset(1), 2)
pair.second = 3  # refused
Pair(HostOffset(1))  # refused
Pair("text", 2)  # refused
at: HostOffset = Pair.parse(bytes(12)).first
