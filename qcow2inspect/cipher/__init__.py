"""Encrypted sector to sector: legacy AES and LUKS. Nothing here knows where in an image a sector lies."""
