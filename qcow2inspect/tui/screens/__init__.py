"""The screens: Overview, Explore, and the one for what is no image."""
