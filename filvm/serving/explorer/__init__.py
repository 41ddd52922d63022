"""The explorer page: its files, which `filvm.serving.explore` copies beside the models."""
