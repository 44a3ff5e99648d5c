"""Bounds and sentences that the shapes of several families share.

Not here: the settings of a family (`recurrent.py`, `decoder.py`, `encoder.py`, `encoder_decoder.py`, `ngram.py`).
"""

MAXIMUM_LAYERS = 200
MAXIMUM_WIDTH = 16_384

LAYERS_HELP = "How many layers stand on top of each other. Doubling it about doubles the work and the memory."
WIDTH_HELP = "How many numbers describe one token inside the network. Doubling it about quadruples the parameters."
HEADS_HELP = "Parallel attention patterns in each layer. They share the width, so the size stays the same."
DROPOUT_HELP = "Share of activations switched off at random while training. Helps when the text is small for the model."
TIE_HELP = "Use one matrix both to read tokens in and to score them at the end. Saves vocabulary × width parameters."
