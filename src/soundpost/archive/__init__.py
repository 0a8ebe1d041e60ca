"""An archive tagged: probabilities, embeddings and remarks of many clips as parquet, on one machine or on a cluster."""
