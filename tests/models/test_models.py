"""The models against the reference outputs, the naive float64 formulas, and the published parameter counts."""

import contextlib
import csv
import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._dynamo.testing import CompileCounterWithBackend
from torch.nn.functional import cross_entropy

from helpers import BASELINES, GOLDEN, PERFORMERS, REPOSITORY, RIVALS
from relative_performer import build_model
from relative_performer.data import DATASETS
from relative_performer.models import MODEL_OPTIONS, MODELS
from relative_performer.models.feed_forward import FeedForward
from relative_performer.models.naive import naive_logits
from relative_performer.ops import favor_chunked, rotary_chunked
from relative_performer.ops.dropout import draw_bits, keep_mask, scale
from relative_performer.ops.forms import plain_form
from relative_performer.runs.authors import from_authors

FILES = sorted(GOLDEN.glob("*.npz"))
OPTION_NAMES = [option.name for option in MODEL_OPTIONS]


def test_there_are_reference_outputs_of_every_model_of_the_paper():
    assert len(FILES) == 14
    models = {json.loads(str(np.load(path)["hparams"]))["model"] for path in FILES}
    assert models == {"Performer", "NoposPerformer", "RelativePerformer", "ClippedRelativePerformer"}


@pytest.mark.parametrize("form", [contextlib.nullcontext, plain_form])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_reference_outputs(path, form):
    file = np.load(path)
    hparams = json.loads(str(file["hparams"]))
    name, own = hparams["model"], {key: hparams[key] for key in OPTION_NAMES if key in hparams}
    model = build_model(name, in_features=hparams["in_features"], num_classes=hparams["num_classes"], **own).eval()
    tensors = {kind: {} for kind in ("state", "grad")}
    for key in file.files:
        kind, _, parameter = key.partition("/")
        if parameter:
            tensors[kind][parameter] = torch.from_numpy(file[key])
    model.load_state_dict(from_authors(name, tensors["state"]))

    with form():
        logits = model(torch.from_numpy(file["input"]))
    loss = cross_entropy(logits, torch.full((len(logits),), 3))
    loss.backward()

    torch.testing.assert_close(logits, torch.from_numpy(file["logits"]), rtol=0, atol=1e-5)
    torch.testing.assert_close(loss, torch.from_numpy(file["loss"]), rtol=0, atol=1e-5)
    largest = max(float(grad.abs().max()) for grad in tensors["grad"].values())
    parameters = dict(model.named_parameters())
    for parameter, expected in from_authors(name, tensors["grad"]).items():
        found = parameters[parameter].grad
        found = torch.zeros_like(expected) if found is None else found
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * largest, msg=lambda m, p=parameter: f"{p}: {m}")


SIZES = ("embedding_type", "dim", "heads", "depth", "attn_dropout", "ff_dropout", "feature_redraw_interval")


@st.composite
def cases(draw):
    """A model with its options, and the shape of images."""
    name = draw(st.sampled_from([name for name in MODELS if MODELS[name].naive]))
    heads, channels = draw(st.integers(1, 4)), draw(st.sampled_from([1, 3]))
    own = {
        "embedding_type": draw(st.sampled_from(["linear", "MLP", "lookup"])),
        "dim": 4 * heads * draw(st.integers(1, 2)),
        "heads": heads,
        "depth": draw(st.integers(1, 3)),
    }
    for option in MODELS[name].options:
        if option.name not in SIZES:
            choices = {bool: [False, True]}.get(option.kind, range(1, 10))
            own[option.name] = draw(st.sampled_from(option.kind if isinstance(option.kind, tuple) else choices))
    shape = (draw(st.integers(1, 5)), draw(st.integers(1, 7)), draw(st.integers(1, 7)), channels)
    return name, own, shape, draw(st.integers(0, 3)), draw(st.integers(0, 2**16))


@settings(max_examples=100)
@given(cases())
def test_fast_equals_naive(case):
    name, own, shape, images, seed = case

    def small_chunks(tokens, features):
        return [slice(start, start + images) for start in range(0, len(tokens), images)]

    with pytest.MonkeyPatch.context() as patch, contextlib.nullcontext() if images else plain_form():
        for module in (favor_chunked, rotary_chunked):
            patch.setattr(module, "split_images", small_chunks)
        compare(name, own, shape, seed)


def compare(name, own, shape, seed):
    torch.manual_seed(seed)
    model = build_model(name, in_features=shape[-1], num_classes=5, **own).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():  # zeros at the start would hide mistakes
            parameter.add_(0.3 * torch.randn_like(parameter))
    images = torch.rand(shape, dtype=torch.float64)
    if own["embedding_type"] == "lookup":
        images = (images * 256).to(torch.uint8)
    labels = torch.randint(0, 5, shape[:1])
    state = {key: value for key, value in model.state_dict().items() if key != "_extra_state"}
    reference = {key: value.clone().requires_grad_("projection_matrix" not in key) for key, value in state.items()}

    logits = model(images)
    cross_entropy(logits, labels).backward()
    expected = naive_logits(name, MODELS[name].complete(own), reference, images)
    cross_entropy(expected, labels).backward()

    torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-9)
    for key, parameter in model.named_parameters():
        zero = torch.zeros_like(parameter)
        found, wanted = (x if x is not None else zero for x in (parameter.grad, reference[key].grad))
        torch.testing.assert_close(found, wanted, rtol=1e-7, atol=1e-9, msg=lambda m, k=key: f"{k}: {m}")


@pytest.mark.parametrize("name", PERFORMERS + RIVALS)
def test_memory_is_linear_in_images_tokens_and_distance(name):
    own = {"clipping_dist": 4} if name == "ClippedRelativePerformer" else {}
    base = kept_bytes(name, 2, 16, own)
    assert kept_bytes(name, 4, 16, own) < 2.01 * base
    assert kept_bytes(name, 2, 32, own) < 4.01 * base
    if own:
        assert kept_bytes(name, 2, 16, {"clipping_dist": 8}) < 2.01 * base


def kept_bytes(name, images, side, own):
    """Return the bytes that a forward pass saves for the backward pass, without the weights."""
    model = build_model(name, in_features=1, num_classes=5, dim=16, depth=2, heads=2, **own)
    weights = {tensor.untyped_storage().data_ptr() for tensor in model.state_dict().values()}
    kept_sizes = {}

    def note(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept_sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        logits = model(torch.rand(images, side, side, 1))
    assert logits.grad_fn  # which holds the saved tensors, so that no address is used twice
    return sum(kept_sizes.values())


def test_parameter_counts():
    rows = list(csv.DictReader((REPOSITORY / "resources" / "published_evaluations.csv").open()))
    assert len(rows) == 44
    for row in rows:
        own = {key: int(row[key]) for key in ("dim", "depth", "heads", "pos_scales", "clipping_dist") if row[key]}
        # the published runs with content_rel_attn had the same parameters as those without
        model = build_model(row["model"], in_features=DATASETS[row["dataset"]].channels, **own)
        assert sum(p.numel() for p in model.parameters()) == int(row["n_parameters"]) + own["dim"], row


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("name", "parameters"), [("AlexNet", 2.5e6), ("VGG16", 134e6), ("ResNet18", 11.2e6)])
def test_parameter_counts_of_the_convolutional_baselines(name, parameters, channels):
    model = build_model(name, in_features=channels, num_classes=10)
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(parameters, rel=0.02)


@pytest.mark.parametrize("name", sorted(set(BASELINES) - {"VGG16"}))
def test_baselines_pad_smaller_images_and_refuse_larger_ones(name):
    model = build_model(name, in_features=2, num_classes=12).eval()
    small = torch.rand(2, 20, 24, 2)
    padded = torch.zeros(2, 32, 32, 2)
    padded[:, 6:26, 4:28] = small
    assert model(small).shape == (2, 12)
    torch.testing.assert_close(model(small), model(padded))
    with pytest.raises(ValueError, match=r"of at most 32×32 pixels, not \(2, 20, 40, 2\)"):
        model(torch.rand(2, 20, 40, 2))
    with pytest.raises(ValueError, match="must be"):
        model(torch.rand(2, 32, 32, 3))


@pytest.mark.parametrize("name", [*PERFORMERS, "RotaryPerformer"])
def test_an_image_does_not_depend_on_its_batch_with_the_head_stabilizer(name):
    torch.manual_seed(0)
    model = build_model(name, in_features=1, dim=16, depth=2, heads=2, key_stabilizer="head").double().eval()
    images = torch.rand(3, 6, 6, 1, dtype=torch.float64)
    torch.testing.assert_close(model(images)[:1], model(images[:1]), rtol=0, atol=1e-12)


def test_without_positions_the_order_of_pixels_does_not_matter():
    torch.manual_seed(0)
    model = build_model("NoposPerformer", in_features=1, dim=16, depth=2, heads=2).double().eval()
    images = torch.rand(2, 5, 5, 1, dtype=torch.float64)
    torch.testing.assert_close(model(images), model(images.roll((1, 2), (1, 2))), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("name", "own"), [("RelativePerformer", {"no_projection": True}), ("Performer", {})])
def test_only_relative_positions_are_equivariant(name, own):
    """With exact softmax, q·k depends only on differences, so that moving all positions changes nothing."""
    torch.manual_seed(0)
    model = build_model(name, in_features=1, dim=16, depth=2, heads=2, **own).double().eval()
    images = torch.rand(2, 4, 5, 1, dtype=torch.float64)
    before = model(images)
    moved = type(model.positions).forward

    def forward(positions, height, width):
        grid = moved(positions, height + 3, width + 2).unflatten(0, (height + 3, width + 2))
        return grid[3:, 2:].flatten(0, 1)

    model.positions.forward = forward.__get__(model.positions)
    difference = (model(images) - before).abs().max()
    assert difference < 1e-12 if name == "RelativePerformer" else difference > 1e-3


def test_features_are_redrawn_every_interval_plus_one_calls():
    torch.manual_seed(0)
    model = build_model("Performer", in_features=1, dim=16, depth=1, heads=2, feature_redraw_interval=2)
    images, redrawn = torch.rand(1, 4, 4, 1), []
    for _ in range(7):
        before = model.blocks[0].attention.projection_matrix.clone()
        model(images)
        redrawn.append(not torch.equal(before, model.blocks[0].attention.projection_matrix))
    assert redrawn == [False, False, True, False, False, True, False]
    model.eval()(images)
    restored = build_model("Performer", in_features=1, dim=16, depth=1, heads=2)
    restored.load_state_dict(model.state_dict())
    assert restored.calls_since_redraw == model.calls_since_redraw == 1


def test_relative_heads_keep_their_features():
    model = build_model("ClippedRelativePerformer", in_features=1, dim=16, depth=1, heads=2)
    attention = model.blocks[0].attention
    before = attention.distance_projection_matrix.clone(), attention.projection_matrix.clone()
    attention.redraw()
    assert torch.equal(before[0], attention.distance_projection_matrix)
    assert not torch.equal(before[1], attention.projection_matrix)


@pytest.mark.parametrize(
    ("name", "own", "error", "text"),
    [
        ("Perfomer", {}, ValueError, "did you mean Performer"),
        ("Performer", {"pos_scales": 4}, TypeError, "Performer has no option 'pos_scales'"),
        ("ClippedRelativePerformer", {"no_projection": True}, TypeError, "no option 'no_projection'"),
        ("Performer", {"dim": 30, "heads": 4}, ValueError, "30 is not divisible by heads 4"),
        ("Performer", {"dim": 6, "heads": 3}, ValueError, "6 is not divisible by 4"),
        ("RelativePerformer", {"dim": 4, "heads": 4}, ValueError, "width of 1"),
        ("Performer", {"embedding_type": "conv"}, ValueError, "choose from linear, MLP, lookup"),
        ("Performer", {"depth": 0}, ValueError, "depth: '0' is not an integer from 1 to 1024"),
        ("Performer", {"depth": 2.5}, ValueError, "depth"),
        ("Performer", {"no_projection": 1}, ValueError, "not true or false"),
        ("AlexNet", {"dim": 8}, TypeError, "AlexNet has no option 'dim'$"),
    ],
)
def test_wrong_options_are_named(name, own, error, text):
    with pytest.raises(error, match=text):
        build_model(name, in_features=1, **own)


def test_images_of_the_wrong_kind_are_refused():
    lookup = build_model("NoposPerformer", in_features=1, dim=8, depth=1, heads=2, embedding_type="lookup")
    with pytest.raises(TypeError, match="uint8"):
        lookup(torch.rand(1, 4, 4, 1))
    with pytest.raises(ValueError, match=r"must be \(B, h, w, c\), not \(4, 5, 1\)"):
        lookup(torch.zeros(4, 5, 1, dtype=torch.uint8))


@pytest.mark.parametrize("name", MODELS)
def test_a_compiled_model_is_one_graph_with_the_same_outputs(name):
    own = {option.name: 2 for option in MODELS[name].options if option.name in ("depth", "heads")}
    own |= {option.name: 0.0 for option in MODELS[name].options if option.name in ("attn_dropout", "ff_dropout")}
    side = 32 if MODELS[name].baseline else 6
    model = build_model(name, in_features=1, **own)
    torch._dynamo.reset()
    found = torch._dynamo.explain(model)(torch.rand(3, side, side, 1))
    assert (found.graph_count, found.graph_break_count) == (1, 0)
    if MODELS[name].baseline:  # with dropout of torch
        return
    images, gradients = torch.rand(3, 5, 6, 1), []
    compiled = torch.compile(model, backend="aot_eager")  # the whole compiler except code generation
    for forward in (model, compiled):
        forward(images).square().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters() if parameter.requires_grad])
        model.zero_grad()
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)


def test_a_compiled_model_is_compiled_once_and_redrawn():
    model = build_model("Performer", in_features=1, dim=8, depth=1, heads=2, feature_redraw_interval=2)
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("eager")
    model.forward = torch.compile(model.forward, backend=counter)
    matrices = []
    for _ in range(5):
        model(torch.rand(2, 4, 4, 1)).sum().backward()
        matrices.append(model.blocks[0].attention.projection_matrix.clone())
    assert counter.frame_count == 1
    changes = [not torch.equal(before, after) for before, after in pairwise(matrices)]
    assert changes == [False, True, False, False]


@pytest.mark.parametrize("p", [0.0, 0.4])
def test_feed_forward_is_two_affine_maps_with_gelu_and_dropout_between(p):
    layer = FeedForward(6, p).double()
    x = torch.randn(3, 5, 6, dtype=torch.float64, requires_grad=True)

    def seeded(*inputs):
        torch.manual_seed(1)
        return torch.func.functional_call(layer, dict(zip(names, inputs[1:], strict=True)), inputs[0])

    names, parameters = zip(*layer.named_parameters(), strict=True)
    torch.manual_seed(1)
    mask = keep_mask(draw_bits(torch.Size([3, 5, 24])), p, x.dtype) * scale(p) if p else 1
    hidden = torch.nn.functional.gelu(layer.inner(x)) * mask
    torch.testing.assert_close(seeded(x, *parameters), layer.outer(hidden))
    assert torch.autograd.gradcheck(seeded, (x, *parameters))
