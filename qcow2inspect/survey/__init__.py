"""Facts about a whole image in one pass over its tables; no judgement."""
