"""Data sets from other formats, one file each; formats are detected from file names."""
