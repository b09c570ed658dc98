"""A backward pass walked in Python. torch's own engine needs a driver for CUDA tensors, even for fake ones."""

import heapq
from typing import Any

import torch


@torch.no_grad()
def backward(loss: torch.Tensor) -> None:
    """Add the gradients of `loss`, a scalar, to the `.grad` of its leaves.

    Raises RuntimeError where a gradient arrives on another device than its tensor.
    """
    root = loss.grad_fn
    uses = _uses(root)
    nodes, arrived = {_key(root): root}, {_key(root): {0: torch.ones_like(loss)}}
    ready = [(_order(root), _key(root))]
    while ready:
        _, key = heapq.heappop(ready)
        node = nodes.pop(key)
        following, results = _run(node, arrived.pop(key, {}))
        for (then, slot), result in zip(following, results, strict=False):
            if then is None:
                continue
            nodes.setdefault(_key(then), then)
            if result is not None:
                slots, result = arrived.setdefault(_key(then), {}), _fitted(then, slot, result)
                slots[slot] = result if slot not in slots else slots[slot] + result
            uses[_key(then)] -= 1
            if uses[_key(then)] == 0:
                heapq.heappush(ready, (_order(then), _key(then)))


def _key(node: Any) -> tuple[Any, ...]:
    return ("leaf", id(node.variable)) if hasattr(node, "variable") else ("node", node._sequence_nr(), node.name())


def _order(node: Any) -> int:
    return -(10**12) if hasattr(node, "variable") else -node._sequence_nr()


def _uses(root: Any) -> dict[Any, int]:
    """Return how many gradients arrive at every node."""
    uses: dict[Any, int] = {}
    seen, stack = set(), [root]
    while stack:
        node = stack.pop()
        if _key(node) in seen:
            continue
        seen.add(_key(node))
        for following, _ in node.next_functions:
            if following is not None:
                uses[_key(following)] = uses.get(_key(following), 0) + 1
                stack.append(following)
    return uses


def _fitted(node: Any, slot: int, gradient: torch.Tensor) -> torch.Tensor:
    """Return a gradient with the shape and dtype of an output of a node."""
    meta = node._input_metadata[slot]
    if gradient.device != meta.device:
        raise RuntimeError(f"{node.name()}: a gradient on {gradient.device} for a tensor on {meta.device}")
    return gradient.sum_to_size(tuple(meta.shape)).to(meta.dtype)


def _run(node: Any, gradients: dict[int, torch.Tensor]) -> tuple[Any, Any]:
    """Return the nodes that follow and their gradients, from the gradients of a node's outputs."""
    if hasattr(node, "variable"):
        leaf, gradient = node.variable, gradients[0]
        leaf.grad = gradient if leaf.grad is None else leaf.grad + gradient
        return (), ()
    if callable(node):
        results = node(*(gradients.get(i) for i in range(len(node._input_metadata))))
        return node.next_functions, results if isinstance(results, tuple) else (results,)
    # an autograd.Function in Python; the engine makes zeros of missing gradients
    arguments = [
        gradients[i] if i in gradients else torch.zeros(tuple(meta.shape), dtype=meta.dtype, device=meta.device)
        for i, meta in enumerate(node._input_metadata)
    ]
    results = node.apply(*arguments)
    results = results if isinstance(results, tuple) else (results,)
    needed = tuple(result for result, needs in zip(results, node.needs_input_grad, strict=False) if needs)
    return tuple(place for place in node.next_functions if place[0] is not None), needed
