"""Exact occlusion by windows: what a patch can reach is computed again, and nothing else."""
