"""Embedded examples: a real ImageNet classifier, and the library on it from end to end."""
