"""One run: provision, schedule, passes and the growing submission."""
