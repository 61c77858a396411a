"""How well new items are ranked: metrics, and tests of differences between them."""
