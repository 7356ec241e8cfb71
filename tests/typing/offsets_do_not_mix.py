# Each line that ends in "# refused" must be refused by the type checker, and no other line.
from qcow2inspect.units import GuestOffset, GuestRange, HostOffset, HostRange

host = HostOffset(4096)
guest = GuestOffset(4096)

host < HostOffset(1)
host < guest  # refused
guest >= host  # refused
host <= 4096
HostRange(host, host)
HostRange(guest, guest)  # refused
GuestRange(guest, host)  # refused
host in HostRange.at(0, 1)
guest in HostRange.at(0, 1)  # refused
number: int = host - HostOffset(1)
back: HostOffset = host + 1  # refused
