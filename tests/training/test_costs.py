"""What a run records of its costs."""

import numpy as np
import pytest
import torch

from relative_performer.config.options import run_options
from relative_performer.training import costs as module
from relative_performer.training.costs import Work, costs, peak_resident_bytes, processor, work_per_image

ARRAYS = {"train_images": np.zeros((9, 2, 2, 1), np.uint8), "val_images": np.zeros((5, 2, 2, 1), np.uint8)}


def hparams(model="ResNet18", **options):
    run = {"model": model, "dataset": "Digits", "num_classes": 10, "accelerator": "cpu", "limit_val": None}
    return run | run_options(model, options)


def test_work_is_that_of_all_trained_and_validated_images():
    summary = {"epochs": 3, "images_seen": 20}
    found = costs(Work(7, 2), summary, hparams(), ARRAYS)
    assert found["flop"] == 20 * 7 + 3 * 5 * 2
    assert costs(Work(7, 2), summary, hparams(limit_val=4), ARRAYS)["flop"] == 20 * 7 + 3 * 4 * 2
    assert costs(None, summary, hparams(), ARRAYS)["flop"] is None
    assert found["machine"] == processor() != ""


@pytest.mark.parametrize("options", [{"batch_size": 2, "accumulate_grad_batches": 2}, {"batch_size": 8}])
def test_work_of_an_image_does_not_depend_on_the_batch(options, tmp_path):
    work = work_per_image(hparams(**options), ARRAYS, tmp_path)
    assert work == work_per_image(hparams(), ARRAYS, tmp_path)
    assert 2 < work.training / work.inference < 3


def test_a_model_that_reads_values_is_trained_without_a_count(tmp_path, monkeypatch, capsys):
    class Reader(torch.nn.Module):
        def forward(self, images):
            return images.flatten(1)[:, : int(images.sum())]

    monkeypatch.setattr(module, "new_model", lambda *_: Reader())
    assert work_per_image(hparams(), ARRAYS, tmp_path) is None
    assert "the work of the model cannot be counted (DataDependentOutputException)" in capsys.readouterr().out


def test_peak_memory_is_that_of_the_process_in_bytes():
    before = peak_resident_bytes()
    block = bytearray(before)  # all zeros, not yet in memory
    block[::1024] = b"1" * len(block[::1024])
    assert before + len(block) * 0.5 < peak_resident_bytes() < before + len(block) * 1.5
