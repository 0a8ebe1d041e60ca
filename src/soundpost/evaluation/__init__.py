"""Scores and answers of weights over labelled clips. Never bundled."""
