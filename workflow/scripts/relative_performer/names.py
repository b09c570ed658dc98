"""The names of models, datasets, embeddings, classes and axes, in the order in which tables and figures show them."""

PERFORMERS = ("Performer", "NoposPerformer", "RelativePerformer", "ClippedRelativePerformer")
BASELINES = ("AlexNet", "VGG16", "ResNet18", "LinformerViT")
MODELS = (*PERFORMERS, *BASELINES)
DATASETS = ("MNIST", "FashionMNIST", "CIFAR10", "Digits")
EMBEDDINGS = ("linear", "MLP", "lookup")
CLASSES = {
    "MNIST": tuple("0123456789"),
    "FashionMNIST": ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"),
    "CIFAR10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    "Digits": tuple("0123456789"),
}
# along which images are shifted, and which dimensions of (B, n, n, c) that are
AXES = {"columns": (2,), "rows": (1,), "both": (1, 2)}
