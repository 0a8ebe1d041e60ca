"""What the machine allows: memory, time, folders and processes."""
