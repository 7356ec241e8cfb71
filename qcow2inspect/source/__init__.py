"""Where bytes come from. Evidence is opened in :mod:`~qcow2inspect.source.file` and nowhere else."""
