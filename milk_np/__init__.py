"""Recommend new items from multimodal content when some modalities are missing.

Symbols, used the same everywhere: U users, I items, M modalities, E environments, B triplets in a batch,
K latent width, D_m raw width of modality m.
"""

__version__ = "0.1.0"
