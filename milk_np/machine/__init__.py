"""The machine that runs the program: its threads, its memory, its libraries."""
