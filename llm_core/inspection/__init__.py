"""Taps into a forward pass: attention, influence, hidden units."""
