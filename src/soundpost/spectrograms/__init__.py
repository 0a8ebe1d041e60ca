"""Worker processes that make spectrograms, and the cache that keeps them."""
