"""A model as TensorRT read it, and whether that is the model which the bundle's manifest describes.

An engine cannot be looked into where no GPU is, so what goes into it is checked before: the types and shapes of inputs
and outputs, the types in which every matrix product is computed, and the widths that the sub-model has in each layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import NamedTuple

from ofa_bert.bundle.entries import HALF_STATIC
from ofa_bert.bundle.manifest import INPUTS, OUTPUT, Manifest
from ofa_bert.errors import RunError
from ofa_bert.runtime.nvidia.library import Foreign

STATIC = ("int8-static", HALF_STATIC)
WIDE, HALF, IDS = "FLOAT", "HALF", "INT64"  # as TensorRT calls float32, float16 and int64
FREE = -1  # a dimension that a profile decides

Place = tuple[str, tuple[int, ...]]  # type and shape of an input or output


class Product(NamedTuple):
    """A matrix product. widths: (in, out) of its weight; None where both factors are computed, as in attention."""

    name: str
    types: tuple[str, str]
    widths: tuple[int, int] | None
    quantized: bool  # both factors were int8


@dataclass(frozen=True)
class Network:
    """What is looked at of a parsed model; products in the order in which they are computed."""

    inputs: dict[str, Place]
    outputs: dict[str, Place]
    products: tuple[Product, ...]
    softmaxes: int
    layers: int

    @property
    def float32_products(self) -> tuple[Product, ...]:
        """Those that are computed in float32."""
        return tuple(product for product in self.products if WIDE in product.types and not product.quantized)


def read(network: Foreign, library: ModuleType) -> Network:
    """network: an INetworkDefinition of NVIDIA's bindings, which have no types of their own."""
    layers = [network.get_layer(place) for place in range(network.num_layers)]
    makers = {layer.get_output(place).name: layer for layer in layers for place in range(layer.num_outputs)}
    kinds = library.LayerType
    products = (_product(layer, makers, kinds) for layer in layers if layer.type == kinds.MATRIX_MULTIPLY)
    return Network(
        dict(_place(network.get_input(place)) for place in range(network.num_inputs)),
        dict(_place(network.get_output(place)) for place in range(network.num_outputs)),
        tuple(products),
        sum(layer.type == kinds.SOFTMAX for layer in layers),
        network.num_layers,
    )


def _place(tensor: Foreign) -> tuple[str, Place]:
    return tensor.name, (tensor.dtype.name, tuple(tensor.shape))


def _product(layer: Foreign, makers: dict[str, Foreign], kinds: Foreign) -> Product:
    factors = [layer.get_input(0), layer.get_input(1)]
    widths = tuple(factors[1].shape)[-2:]
    return Product(
        layer.name,
        (factors[0].dtype.name, factors[1].dtype.name),
        None if FREE in widths else (widths[0], widths[1]),
        all(_origin(factor, makers, kinds) == kinds.DEQUANTIZE for factor in factors),
    )


def _origin(tensor: Foreign, makers: dict[str, Foreign], kinds: Foreign) -> Foreign | None:
    """The kind of the layer that computes a tensor; where only its dimensions are moved, of the one before."""
    maker = makers.get(tensor.name)
    while maker is not None and maker.type == kinds.SHUFFLE:
        maker = makers.get(maker.get_input(0).name)
    return None if maker is None else maker.type


def check(network: Network, manifest: Manifest, precision: str, source: str) -> None:
    """RunError, one line, unless the network is the manifest's model in its file's precision. source: that file."""
    problems = [*_interface(network, manifest), *_types(network, precision), *_widths(network, manifest, precision)]
    if problems:
        more = f" ({len(problems) - 1} more like it)" if len(problems) > 1 else ""
        raise RunError(f"{source}: TensorRT reads another model than the manifest describes: {problems[0]}{more}")


def _interface(network: Network, manifest: Manifest) -> list[str]:
    wanted = {
        "inputs": (network.inputs, {name: (IDS, (FREE, FREE)) for name in INPUTS}),
        "outputs": (network.outputs, {OUTPUT: (WIDE, (FREE, *([FREE] * manifest.per_token), manifest.num_labels))}),
    }
    return [f"{name} are {found}, must be {right}" for name, (found, right) in wanted.items() if found != right]


def _types(network: Network, precision: str) -> list[str]:
    wanted = {"fp16": HALF, HALF_STATIC: HALF}.get(precision, WIDE)
    return [
        f"{product.name} multiplies {' by '.join(product.types)}, in {precision} it must be {wanted}"
        for product in network.products
        if set(product.types) != {wanted} or (product.quantized and precision not in STATIC)
    ]


def _widths(network: Network, manifest: Manifest, precision: str) -> list[str]:
    """What is wrong with the products of the kept layers; of a bundle that says no sub-model nothing is known."""
    shape, sub_model = manifest.shape, manifest.sub_model
    if shape is None or sub_model is None:
        return []
    depth, hidden = sub_model.depth, shape.hidden_size
    computed = [product for product in network.products if product.widths is None]
    problems = []
    if (network.softmaxes, len(computed)) != (depth, 2 * depth):
        found = f"{network.softmaxes} softmaxes and {len(computed)} products of attention"
        problems.append(f"{found}, must be {depth} and {2 * depth} in {depth} layers")
    weighted = [product for product in network.products if product.widths is not None]
    if shape.embedding_size not in (0, hidden):  # which are projected to the hidden size
        weighted = weighted[1:]
    for kept, (heads, ffn) in enumerate(zip(sub_model.heads, sub_model.ffn)):
        inside = heads * shape.head_dim
        after = [(inside, hidden), (hidden, ffn), (ffn, hidden)]
        apart = weighted[:1] and weighted[0].widths == (hidden, inside)  # query, key and value as products of their own
        wanted = [(hidden, inside)] * 3 + after if apart else [(hidden, 3 * inside), *after]
        # The last layer's query may be the first token's alone, asked of and answered by the states themselves.
        alone = [(hidden, inside), (shape.head_dim, hidden), (hidden, shape.head_dim)]
        single = kept == depth - 1 and [product.widths for product in weighted[:3]] == alone
        wanted = [*alone, *after] if single else wanted
        own, weighted = weighted[: len(wanted)], weighted[len(wanted) :]
        if [product.widths for product in own] != wanted:
            problems.append(f"layer {kept} has weights of {[product.widths for product in own]}, must be {wanted}")
        if precision in STATIC:
            rounded = own[len(alone) :] if single else own
            problems += [f"{product.name} is not computed in int8" for product in rounded if not product.quantized]
    return problems
