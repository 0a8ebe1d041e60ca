"""A synthesised folder of clips to try the kit on. Never bundled."""
