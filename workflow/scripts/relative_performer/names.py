"""The names of models, datasets and embeddings, in the order in which tables and figures show them."""

MODELS = ("Performer", "NoposPerformer", "RelativePerformer", "ClippedRelativePerformer")
DATASETS = ("MNIST", "FashionMNIST", "CIFAR10", "Digits")
EMBEDDINGS = ("linear", "MLP", "lookup")
