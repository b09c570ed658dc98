"""The common part of the paper's baselines. B: images, h, w: height and width, c: channels."""

from torch import Tensor, nn
from torch.nn.functional import pad

SIDE = 32  # pixels; the networks were built for images of this height and width


class Baseline(nn.Module):
    """A network for images with channels first, with the interface of the Performers."""

    def __init__(self, network: nn.Module, in_features: int) -> None:
        super().__init__()
        self.network = network
        self.in_features = in_features

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, h, w, c) to logits (B, classes).

        Images smaller than 32×32 are padded with zeros on all sides. Raises ValueError for larger images, or for
        another number of channels.
        """
        if images.ndim != 4 or images.shape[3] != self.in_features or max(images.shape[1:3]) > SIDE:
            expected = f"(B, h, w, {self.in_features}) of at most {SIDE}×{SIDE} pixels"
            raise ValueError(f"images must be {expected}, not {tuple(images.shape)}")
        rows, columns = (SIDE - size for size in images.shape[1:3])
        padding = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
        return self.network(pad(images.permute(0, 3, 1, 2), padding))


def read_channels(convolution: nn.Conv2d, in_features: int) -> None:
    """Change the input of a convolution to `in_features` channels, with new weights."""
    convolution.in_channels = in_features
    convolution.weight = nn.Parameter(
        convolution.weight.new_empty(convolution.out_channels, in_features, *convolution.kernel_size)
    )
    # as torchvision initialises the convolutions of its networks
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
