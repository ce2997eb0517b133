"""Where the cells of feature maps lie over the input."""
