"""A small AlexNet with one affine layer (2.5 million parameters)."""

from types import SimpleNamespace as Options

from torch import nn

from relative_performer.models.baseline import Baseline


class AlexNet(Baseline):
    """Five convolutions after Krizhevsky et al. (2012), for images of 32×32 pixels."""

    def __init__(self, in_features: int, num_classes: int, o: Options) -> None:
        network = nn.Sequential(
            *(nn.Conv2d(in_features, 64, 11, stride=4, padding=5), nn.ReLU(), nn.Dropout(0.5), nn.MaxPool2d(2)),
            *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(), nn.Dropout(0.5)),
            *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.Dropout(0.5), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(256, num_classes)),
        )
        super().__init__(network, in_features)
