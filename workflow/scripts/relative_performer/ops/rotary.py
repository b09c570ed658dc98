"""FAVOR+ attention with features that the places of the pixels rotate, linear in the number of tokens.

Su et al., RoFormer: Enhanced Transformer with Rotary Position Embedding (arXiv 2104.09864), section 3.3.

B: images, H: heads, N: tokens, P = N − 1: pixels, m: random features (an even number),
d_k: width of queries and keys, d: width of values. The class token is the first token. `rotary_chunked` has the form
for a CPU.
"""

import torch
from torch import Tensor

from relative_performer.ops import rotary_chunked
from relative_performer.ops.favor import exponentials
from relative_performer.ops.forms import is_plain
from relative_performer.ops.random_features import EPSILON, Operand
from relative_performer.ops.rotary_chunked import pairs


def rotary_attention(
    query: Tensor, key: Tensor, value: Tensor, rotation: Tensor, projection_matrix: Tensor, key_stabilizer: str
) -> Tensor:
    """Return the attention of all tokens to all tokens, heads concatenated: (B, N, H·d).

    In the numerator a pair of pixels i and j has the weight (R_i phi(q_i))·(R_j phi(k_j)), and a pair with the class
    token has the weight phi(q_i)·phi(k_j). The denominator is phi(q_i)·Σ phi(k_j). R_i takes the features 2r and 2r + 1
    as the real and imaginary part of a number, and multiplies it by rotation[…, i, r].

    query, key: (B, H, N, d_k). value: (B, H, N, d). rotation: (H, P, m/2), complex numbers of modulus 1.
    projection_matrix: W (m, d_k). key_stabilizer: as in `favor_attention`.
    """
    with torch.autocast(value.device.type, enabled=False):
        value = value.to(torch.promote_types(value.dtype, torch.float32))
        if not is_plain(value):
            return rotary_chunked.rotary_attention(query, key, value, rotation, projection_matrix, key_stabilizer)
        phi_q = exponentials(Operand(query), projection_matrix, value.dtype, "query") + EPSILON
        phi_k = exponentials(Operand(key), projection_matrix, value.dtype, key_stabilizer) + EPSILON
        rotated_q, rotated_k = (rotate(phi[:, :, 1:], rotation) for phi in (phi_q, phi_k))  # (B, H, P, m)
        class_value, pixels = value[:, :, :1], value[:, :, 1:]
        of_class = (phi_q[:, :, :1] @ phi_k.mT) @ value
        of_pixels = rotated_q @ (rotated_k.mT @ pixels) + phi_q[:, :, 1:] @ phi_k[:, :, :1].mT * class_value
        denominator = phi_q @ phi_k.sum(-2).unsqueeze(-1)
        return (torch.cat([of_class, of_pixels], dim=2) / denominator).transpose(1, 2).flatten(2)


def rotate(features: Tensor, rotation: Tensor) -> Tensor:
    """Return features (…, P, m), with every pair multiplied by a number of `rotation` (…, P, m/2)."""
    return torch.view_as_real(pairs(features) * rotation).flatten(-2)
