"""Processes that share a job, as MPI starts them: who they are, what they exchange, and what happens if one is lost."""
