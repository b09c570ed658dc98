"""A ViT with Linformer attention (Wang et al., 2020) whose one patch is the whole image (10 million parameters)."""

from types import SimpleNamespace as Options

from linformer import Linformer
from vit_pytorch.efficient import ViT

from relative_performer.models.baseline import SIDE, Baseline


class LinformerViT(Baseline):
    """Two tokens, the image and the class token, in twelve blocks."""

    def __init__(self, in_features: int, num_classes: int, o: Options) -> None:
        network = ViT(
            image_size=SIDE,
            patch_size=SIDE,
            num_classes=num_classes,
            dim=256,
            transformer=Linformer(dim=256, seq_len=2, depth=12, heads=8, k=64),
            channels=in_features,
        )
        super().__init__(network, in_features)
