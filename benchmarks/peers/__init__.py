"""The programs compared, each in one file and each run in a process of its own (see worker.py)."""
