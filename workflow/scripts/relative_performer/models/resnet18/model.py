"""torchvision's ResNet18 (He et al., 2016), from scratch (11.2 million parameters)."""

from types import SimpleNamespace as Options

from torchvision.models import resnet18

from relative_performer.models.baseline import Baseline, read_channels


class ResNet18(Baseline):
    """ResNet18 with batch normalisation."""

    def __init__(self, in_features: int, num_classes: int, o: Options) -> None:
        network = resnet18(num_classes=num_classes)
        read_channels(network.conv1, in_features)
        super().__init__(network, in_features)
