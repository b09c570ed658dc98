"""The names of models, datasets and embeddings, in the order in which tables and figures show them."""

PERFORMERS = ("Performer", "NoposPerformer", "RelativePerformer", "ClippedRelativePerformer")
BASELINES = ("AlexNet", "VGG16", "ResNet18", "LinformerViT")
MODELS = (*PERFORMERS, *BASELINES)
DATASETS = ("MNIST", "FashionMNIST", "CIFAR10", "Digits")
EMBEDDINGS = ("linear", "MLP", "lookup")
