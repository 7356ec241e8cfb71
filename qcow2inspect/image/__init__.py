"""An open image: tables on demand, guest bytes, the structure as nodes, and addresses in it.

Strict about safety, lenient about damage: nothing here raises because of what a table holds, except a read of
the very range that the damage makes unreadable.
"""
