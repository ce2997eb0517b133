"""What a model is: its program of layer calls, its tokens and targets, and what is asked of it."""
