"""What makes the weights; never bundled."""
