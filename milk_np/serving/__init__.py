"""Lists of items and users: who is asked for, how they are ranked, how lists are written."""
