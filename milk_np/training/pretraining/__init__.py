"""Tables of users and training items, learned from the pairs alone before a system that needs them is trained."""
