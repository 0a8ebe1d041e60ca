"""From out-of-fold answers of several recipes to a submission: second levels, and the choice of a blend."""
