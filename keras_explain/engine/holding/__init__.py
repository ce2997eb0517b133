"""A network with its gates held: linear at a point, and equal to the network there."""
