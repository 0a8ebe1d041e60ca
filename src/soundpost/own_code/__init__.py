"""Code that is a person's own: found by name, and kept apart from the kit's and from that of other recipes."""
