"""`soundpost report`: a run as a page of pictures, made of run.json, submission.csv and, where they are, the clips."""
