"""`soundpost report`: a run as one page of pictures, made of run.json, submission.csv and, where they are, the clips."""
