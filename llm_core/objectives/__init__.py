"""From a batch to a summed loss and a token count."""
