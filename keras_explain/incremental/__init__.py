"""Many forward passes at a fraction of the cost: folded programs, occlusion by windows."""
