"""The changes a person would call harmless: how they apply, how large they are, how a random one is drawn."""
