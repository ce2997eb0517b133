"""Any source of data in, NumPy out, the state of random generators as it was."""
