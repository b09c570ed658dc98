"""The paper's baselines, convolutional networks and a ViT, as `build_model` makes them. They have no options.

B: images, n = 32: side, c: channels.
"""

from linformer import Linformer
from torch import Tensor, nn
from torchvision.models import resnet18, vgg16
from vit_pytorch.efficient import ViT

SIDE = 32


def build_baseline(name: str, in_features: int, num_classes: int) -> nn.Module:
    """Return the baseline `name`: images (B, 32, 32, c) float → logits (B, num_classes)."""
    return Baseline(BASELINES[name](in_features, num_classes), in_features)


class Baseline(nn.Module):
    """A network that reads channels first, behind the interface of the Performers."""

    def __init__(self, network: nn.Module, in_features: int) -> None:
        super().__init__()
        self.network = network
        self.in_features = in_features

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, 32, 32, c) to logits (B, classes); raises ValueError for images of another shape."""
        if images.shape[1:] != (SIDE, SIDE, self.in_features):
            raise ValueError(f"images must be (B, {SIDE}, {SIDE}, {self.in_features}), not {tuple(images.shape)}")
        return self.network(images.permute(0, 3, 1, 2))


def alexnet(in_features: int, num_classes: int) -> nn.Module:
    """A small AlexNet with one affine layer."""
    return nn.Sequential(
        *(nn.Conv2d(in_features, 64, 11, stride=4, padding=5), nn.ReLU(), nn.Dropout(0.5), nn.MaxPool2d(2)),
        *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(), nn.Dropout(0.5)),
        *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.Dropout(0.5), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(256, num_classes)),
    )


def vgg16_from_scratch(in_features: int, num_classes: int) -> nn.Module:
    """torchvision's VGG16, without batch normalisation."""
    network = vgg16(num_classes=num_classes)
    read_channels(network.features[0], in_features)
    return network


def resnet18_from_scratch(in_features: int, num_classes: int) -> nn.Module:
    """torchvision's ResNet18."""
    network = resnet18(num_classes=num_classes)
    read_channels(network.conv1, in_features)
    return network


def read_channels(convolution: nn.Conv2d, in_features: int) -> None:
    """Make a convolution read `in_features` channels, with new weights."""
    convolution.in_channels = in_features
    convolution.weight = nn.Parameter(
        convolution.weight.new_empty(convolution.out_channels, in_features, *convolution.kernel_size)
    )
    # as torchvision initialises the convolutions of both networks
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")


def linformer_vit(in_features: int, num_classes: int) -> nn.Module:
    """A ViT with Linformer attention whose one patch is the whole image."""
    transformer = Linformer(dim=256, seq_len=2, depth=12, heads=8, k=64)
    return ViT(
        image_size=SIDE,
        patch_size=SIDE,
        num_classes=num_classes,
        dim=256,
        transformer=transformer,
        channels=in_features,
    )


BASELINES = {
    "AlexNet": alexnet,
    "VGG16": vgg16_from_scratch,
    "ResNet18": resnet18_from_scratch,
    "LinformerViT": linformer_vit,
}
