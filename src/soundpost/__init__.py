"""Soundpost: a folder of audio clips and trained fold weights in, a valid submission.csv out, inside the hour."""

__version__ = "0.1.0"
