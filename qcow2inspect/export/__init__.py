"""From a view to a file: plan, preflight, copy."""
