"""Many forward passes, cheaply: folding, chunks, hidden parts, windows."""
