"""From raw text to token arrays."""
