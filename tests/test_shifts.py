"""Which images the shift test keeps, and how it moves them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from relative_performer.preparation import prepare
from relative_performer.shifts import free_columns, shift_columns, shiftable


@pytest.mark.parametrize(("dataset", "kept"), [("MNIST", 854), ("FashionMNIST", 791)])
def test_published_numbers_of_images(dataset, kept, shared, tmp_path):
    arrays = prepare(dataset, tmp_path, str(shared / "data"))
    images, labels = (torch.from_numpy(arrays[f"test_{kind}"]) for kind in ("images", "labels"))
    assert int(shiftable(images, labels, [1], 8).sum()) == kept


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.integers(2, 9), st.data())
def test_nothing_is_cut_off(side, data):
    left, right = data.draw(st.integers(0, side - 1)), data.draw(st.integers(0, side - 1))
    images = torch.zeros(1, side, side, 2, dtype=torch.uint8)
    columns = slice(min(left, right), max(left, right) + 1)
    images[:, 1, columns, 1] = torch.arange(1, columns.stop - columns.start + 1).to(torch.uint8)
    free = int(free_columns(images))
    assert free == min(columns.start, side - columns.stop) - 1  # the published filter counts one too few
    for shift in range(-max(free, 0), max(free, 0) + 1):
        moved = shift_columns(images, shift)
        assert moved.sum() == images.sum()
        assert torch.equal(moved[:, :, columns.start + shift], images[:, :, columns.start])


def test_black_images_are_left_out():
    images, labels = torch.zeros(1, 8, 8, 1, dtype=torch.uint8), torch.tensor([1])
    assert not shiftable(images, labels, [1], 1).any()
