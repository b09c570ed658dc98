"""The images that the shift test uses, and how it shifts them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from relative_performer.data import DATASETS
from relative_performer.data.archives import prepare
from relative_performer.data.axes import AXES
from relative_performer.data.shifts import free_space, shift_images, shiftable, shifts


@pytest.mark.parametrize(("dataset", "kept"), [("MNIST", 854), ("FashionMNIST", 791)])
def test_published_numbers_of_images(dataset, kept, mirror, tmp_path):
    arrays = prepare(DATASETS[dataset], tmp_path, mirror)
    images, labels = (torch.from_numpy(arrays[f"test_{kind}"]) for kind in ("images", "labels"))
    assert int(shiftable(images, labels, [1], 8).sum()) == kept


@settings(max_examples=50)
@given(st.integers(2, 9), st.data())
def test_nothing_is_cut_off(side, data):
    left, right = data.draw(st.integers(0, side - 1)), data.draw(st.integers(0, side - 1))
    images = torch.zeros(1, side, side, 2, dtype=torch.uint8)
    columns = slice(min(left, right), max(left, right) + 1)
    images[:, 1, columns, 1] = torch.arange(1, columns.stop - columns.start + 1).to(torch.uint8)
    free = int(free_space(images))
    assert free == min(columns.start, side - columns.stop) - 1  # the published filter counts one too few
    for shift in range(-max(free, 0), max(free, 0) + 1):
        moved = shift_images(images, 0, shift)
        assert moved.sum() == images.sum()
        assert torch.equal(moved[:, :, columns.start + shift], images[:, :, columns.start])
        # rows are shifted like columns
        turned = shift_images(images.transpose(1, 2), shift, 0)
        assert torch.equal(turned.transpose(1, 2), moved)
        assert free_space(images.transpose(1, 2), 1) == free


def test_black_images_are_left_out():
    images, labels = torch.zeros(1, 8, 8, 1, dtype=torch.uint8), torch.tensor([1])
    assert not shiftable(images, labels, [1], 1).any()


@settings(max_examples=50)
@given(st.integers(-3, 3), st.integers(-3, 3))
def test_every_pixel_goes_where_it_should(rows, columns):
    images = torch.arange(1, 17).view(1, 4, 4, 1)
    moved, rolled = (shift_images(images, rows, columns, circular)[0, :, :, 0] for circular in (False, True))
    for row in range(4):
        for column in range(4):
            value = images[0, row, column, 0]
            assert rolled[(row + rows) % 4, (column + columns) % 4] == value
            if 0 <= row + rows < 4 and 0 <= column + columns < 4:
                assert moved[row + rows, column + columns] == value
    assert (moved > 0).sum() == (4 - abs(rows)) * (4 - abs(columns))


def test_shifts_along_both_axes_are_every_pair():
    assert len({*shifts(2, "both")}) == 25
    assert list(shifts(1, "columns")) == [(0, -1), (0, 0), (0, 1)]
    assert list(shifts(1, "rows")) == [(-1, 0), (0, 0), (1, 0)]


def test_room_is_needed_along_every_axis_of_the_shift():
    images, labels = torch.zeros(1, 8, 8, 1, dtype=torch.uint8), torch.tensor([1])
    images[:, :, 3:5] = 1  # free columns, no free row
    found = {axis: bool(shiftable(images, labels, [1], 1, AXES[axis])) for axis in AXES}
    assert found == {"columns": True, "rows": False, "both": False}
