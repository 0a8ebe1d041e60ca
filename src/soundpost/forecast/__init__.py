"""The dry run: what a hidden test set will cost on this machine or another."""
