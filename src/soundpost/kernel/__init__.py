"""What makes kernel.py and sends it to Kaggle. Never bundled."""
