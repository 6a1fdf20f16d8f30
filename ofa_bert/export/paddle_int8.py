"""INT8 for Paddle Inference: PaddleSlim quantizes a static model, the activations' scales are this package's.

The linear layers of the encoder are quantized and nothing else. Three faults of Paddle 2.6's oneDNN passes, each of
which lets a finetuned BERT answer at random, are kept away from (PaddleNLP users know it as an accuracy of 0 on CPUs):
the products inside attention come out wrong in INT8; the scales of a square weight are applied to its rows instead of
its columns; and the scale of column c is taken from the c-th stretch of the weight in memory, not from the column.
So every column is brought to a largest magnitude of 1, every stretch too, and a multiplication behind the layer gives
the columns their size back: all scales are then 1, right or wrong axis.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import paddle
from paddle import nn

from ofa_bert.bundle.manifest import PARAMETERS, STATIC_PREFIX, program_path
from ofa_bert.data.encoding.batches import Batch
from ofa_bert.errors import RunError
from ofa_bert.export.calibration import ActivationSample
from ofa_bert.export.static import save_static
from ofa_bert.models.encoder import encoder_layers
from ofa_bert.numerics import Floats, Ints
from ofa_bert.system.machine import has_vnni


class _Operator(Protocol):
    """What is used here of an operator of Paddle's static graphs; tensors go by their names."""

    type: str
    input_arg_names: Sequence[str]
    output_arg_names: Sequence[str]

    def input(self, slot: str) -> Sequence[str]: ...
    def output(self, slot: str) -> Sequence[str]: ...
    def _rename_input(self, old: str, new: str) -> None: ...


class _Block(Protocol):
    ops: Sequence[_Operator]

    def _remove_op(self, index: int) -> None: ...


PRODUCTS = ("matmul_v2", "matmul", "mul")


def obstacle() -> str | None:
    """Why the model cannot be made here; None when it can."""
    if not paddle.__version__.startswith("2."):
        return f"PaddleSlim 2.6 quantizes static models of Paddle 2, this is Paddle {paddle.__version__}"
    if not has_vnni():
        return "this processor has no VNNI instructions, so oneDNN's INT8 sums overflow and nothing can be checked here"
    return None


def write(model: nn.Layer, target: Path, scales: Mapping[str, float], traffic: ActivationSample, batch: Batch) -> None:
    """Write the quantized static model into the directory `target`.

    `scales` are those of `calibration.choose_scales` for `traffic`; `batch` is what PaddleSlim looks at while it
    puts its operators into the graph. RunError when PaddleSlim fails or leaves a linear layer as it was.
    """
    with tempfile.TemporaryDirectory(dir=target.parent) as name:
        static = Path(name)
        with _evened(model, scales, traffic.rows) as by_weight:
            save_static(model, static)
        with _static_mode() as executor:
            left_out = _tensors_left_out(static, executor, set(by_weight))
            try:
                with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                    _quantize(static, target, executor, batch, left_out)
            except Exception as error:  # PaddleSlim passes on whatever Paddle raised
                reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
                raise RunError(f"PaddleSlim could not quantize the static model: {reason}") from error
            _finish(target, executor, by_weight)


class _EvenLinear(nn.Layer):
    """A linear layer as a quantized product of even columns, and a multiplication that makes them uneven again."""

    def __init__(self, linear: nn.Linear, rows: Floats):
        super().__init__()
        weight = linear.weight.numpy()  # [in, out]
        size = np.abs(weight).max(axis=0)
        size[size == 0] = 1
        self.product = nn.Linear(*weight.shape)
        self.product.weight.set_value(even(weight / size, (rows**2).mean(axis=0)[:, None] * size**2))
        self.product.bias.set_value(linear.bias.numpy() / size)
        self.size = self.create_parameter([len(size)])
        self.size.set_value(size)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.product(x) * self.size


def even(weight: Floats, power: Floats) -> Floats:
    """`weight` [in, out], of columns that reach 1, with each stretch of `in` values reaching 1 as well.

    In each stretch one value becomes 1 or -1: the one that the output feels least. `power` [in, out] says how
    strongly a squared change of each value is felt.
    """
    stretches = weight.reshape(weight.shape[1], weight.shape[0]).copy()
    felt = (1 - np.abs(stretches)) ** 2 * power.reshape(stretches.shape)
    rows, chosen = np.arange(len(stretches)), felt.argmin(axis=1)
    stretches[rows, chosen] = np.where(stretches[rows, chosen] < 0, -1, 1)
    return stretches.reshape(weight.shape)


_PLACES = {"states": ("q_proj", "k_proj", "v_proj"), "context": ("out_proj",), "attended": ("linear1",)}
_PLACES["inner"] = ("linear2",)


@contextlib.contextmanager
def _evened(model: nn.Layer, scales: Mapping[str, float], rows: Mapping[str, Floats]) -> Iterator[dict[str, float]]:
    """The model with even linear layers inside; gives Paddle's name of each weight with the scale of its input."""
    replaced = []
    by_weight = {}
    try:
        for index, layer in enumerate(encoder_layers(model)):
            for part, names in _PLACES.items():
                for name in names:
                    owner = layer.self_attn if name.endswith("_proj") else layer
                    linear = getattr(owner, name)
                    replacement = _EvenLinear(linear, rows[f"layer{index}.{part}"])
                    replaced.append((owner, name, linear))
                    setattr(owner, name, replacement)
                    by_weight[replacement.product.weight.name] = scales[f"layer{index}.{part}"]
        yield by_weight
    finally:
        for owner, name, linear in replaced:
            setattr(owner, name, linear)


@contextlib.contextmanager
def _static_mode() -> Iterator[paddle.static.Executor]:
    """A static-graph executor on the CPU in a scope of its own; afterwards Paddle is in dynamic mode again."""
    paddle.enable_static()
    loggers = [logging.getLogger(), logging.getLogger("paddleslim")]
    levels = [log.level for log in loggers]
    try:
        with paddle.static.scope_guard(paddle.static.Scope()):
            yield paddle.static.Executor(paddle.CPUPlace())
    finally:
        for log, level in zip(loggers, levels):
            log.setLevel(level)
        paddle.disable_static()


def _tensors_left_out(static: Path, executor: paddle.static.Executor, wanted: set[str]) -> list[str]:
    """The tensors whose products stay in float: whatever is multiplied with no weight of the encoder."""
    program, _, _ = paddle.static.load_inference_model(str(static / STATIC_PREFIX), executor)
    left_out = set()
    for op in program.global_block().ops:
        if op.type in PRODUCTS and op.input("Y")[0] not in wanted:
            left_out.update(op.input("Y"))
    return sorted(left_out)


def _quantize(
    static: Path, target: Path, executor: paddle.static.Executor, batch: Batch, left_out: Sequence[str]
) -> None:
    # Imported here: PaddleSlim takes seconds, and only this needs it.
    from paddleslim.quant import quant_post_static

    program, feeds, _ = paddle.static.load_inference_model(str(static / STATIC_PREFIX), executor)
    loader = paddle.io.DataLoader(
        _OneBatch(batch),
        feed_list=[program.global_block().var(name) for name in feeds],
        batch_size=None,
        return_list=False,
        places=paddle.CPUPlace(),
    )
    quant_post_static(
        executor,
        model_dir=str(static),
        quantize_model_path=str(target),
        data_loader=loader,
        model_filename=program_path(static).name,
        params_filename=PARAMETERS,
        save_model_filename=f"{STATIC_PREFIX}.pdmodel",
        save_params_filename=PARAMETERS,
        batch_nums=1,
        algo="abs_max",  # the quickest: its scales are replaced
        weight_quantize_type="channel_wise_abs_max",
        quantizable_op_type=list(PRODUCTS),
        skip_tensor_list=list(left_out),
        onnx_format=True,
    )


class _OneBatch(paddle.io.Dataset):
    def __init__(self, batch: Batch):
        self.batch = batch

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> tuple[Ints, Ints]:
        return self.batch.input_ids, self.batch.token_type_ids


def _finish(target: Path, executor: paddle.static.Executor, by_weight: Mapping[str, float]) -> None:
    """Give the linear layers' inputs their scales, and take out all other quantization of activations.

    PaddleSlim also marks the results of most operators, with scales that nobody chose; oneDNN would round to them.
    """
    prefix = str(target / STATIC_PREFIX)
    program, feeds, fetched = paddle.static.load_inference_model(prefix, executor)
    block = program.global_block()
    made_by = {name: op for op in block.ops for name in op.output_arg_names}
    wanted: set[str] = set()  # outputs of the dequantize_linear operators that stay
    done = set()
    for op in block.ops:
        weight = made_by.get(op.input("Y")[0]) if op.type in PRODUCTS else None
        name = weight.input("X")[0] if weight is not None and weight.type == "dequantize_linear" else None
        if name is not None and name in by_weight:
            wanted.update((op.input("X")[0], op.input("Y")[0]))
            _set_scale(made_by, op.input("X")[0], by_weight[name])
            done.add(name)
    if done != set(by_weight):
        raise RunError(f"PaddleSlim left {len(set(by_weight) - done)} of {len(by_weight)} linear layers unquantized")
    fetched = [block.var(name) for name in _bypass(block, made_by, wanted, [var.name for var in fetched])]
    inputs = [block.var(name) for name in feeds]
    paddle.static.save_inference_model(prefix, inputs, fetched, executor, program=program)


def _set_scale(made_by: Mapping[str, _Operator], tensor: str, scale: float) -> None:
    """`tensor` comes out of a dequantize_linear behind a quantize_linear: set the scale of both."""
    back = made_by[tensor]
    for name in {back.input("Scale")[0], made_by[back.input("X")[0]].input("Scale")[0]}:
        # Paddle stores the largest value, which stands for 127.
        value = np.asarray([scale * 127], "float32")
        paddle.static.global_scope().find_var(name).get_tensor().set(value, paddle.CPUPlace())


def _bypass(block: _Block, made_by: Mapping[str, _Operator], wanted: set[str], fetched: Sequence[str]) -> list[str]:
    """Remove each pair of quantize_linear and dequantize_linear whose result is not wanted; returns what is fetched."""
    source: dict[str, str] = {}
    unneeded: set[str] = set()
    for op in block.ops:
        before = made_by.get(op.input("X")[0]) if op.type == "dequantize_linear" else None
        if before is not None and before.type == "quantize_linear" and op.output("Y")[0] not in wanted:
            source[op.output("Y")[0]] = before.input("X")[0]
            unneeded.update((op.output("Y")[0], before.output("Y")[0]))

    def origin(name: str) -> str:
        while name in source:
            name = source[name]
        return name

    for op in block.ops:
        for name in set(op.input_arg_names) & set(source):
            op._rename_input(name, origin(name))
    for index in reversed(range(len(block.ops))):
        if set(block.ops[index].output_arg_names) & unneeded:
            block._remove_op(index)
    return [origin(name) for name in fetched]
