"""torchvision's VGG16 (Simonyan and Zisserman, 2015), from scratch (134 million parameters)."""

from types import SimpleNamespace as Options

from torchvision.models import vgg16

from relative_performer.models.baseline import Baseline, read_channels


class VGG16(Baseline):
    """VGG16 without batch normalisation."""

    def __init__(self, in_features: int, num_classes: int, o: Options) -> None:
        network = vgg16(num_classes=num_classes)
        read_channels(network.features[0], in_features)
        super().__init__(network, in_features)
