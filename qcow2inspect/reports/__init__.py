"""A dossier in one format a file. A report appears under its name when it is complete."""
