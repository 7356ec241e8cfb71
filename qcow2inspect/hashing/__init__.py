"""Hashes of files and of what guests see, manifests of them, and comparing against a manifest."""
