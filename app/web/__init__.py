"""Everything HTTP and nothing else."""
