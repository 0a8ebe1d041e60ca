"""One session of a training kernel: finds the data, goes on from its own output, trains, and ends in good order."""
