"""Models: their weights, the runtime that all of them use, and what they say of pictures.

Never imports bytewax or av, knows nothing of features, and loads a model library only when a model is asked for.
"""
