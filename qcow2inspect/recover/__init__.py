"""What is left of a damaged image: assumptions that make it readable, worked out from its content."""
