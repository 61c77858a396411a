"""How well new items are ranked: metrics, and whether differences between them are chance."""
