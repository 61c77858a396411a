"""Recommendation lists of items and users: ids, ranking, output."""
