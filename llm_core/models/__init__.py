"""The networks, their registry and their closed-form counts."""
