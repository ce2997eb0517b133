"""Builders: a `keras.Model` in, an explained `keras.Model` out."""
