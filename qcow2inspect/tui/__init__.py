"""The terminal user interface: a thin skin over the package, and the only place that imports Textual."""
