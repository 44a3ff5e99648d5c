"""Sampling, decoding with state, and the likelihood of given text."""
