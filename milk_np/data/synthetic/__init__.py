"""Data sets with a planted truth."""
