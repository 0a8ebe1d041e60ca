"""Two processes, supervisor and engine, and what they say to each other."""
