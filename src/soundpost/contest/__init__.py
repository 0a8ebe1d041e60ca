"""Rows, clips and csv files of a contest, and where its inputs lie."""
