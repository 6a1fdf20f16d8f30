"""What this project uses of PaddleNLP's classes, which say no types themselves. Imports no Paddle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, Protocol, overload

if TYPE_CHECKING:
    import paddle
    from paddle import nn

    from ofa_bert.data.tokenization.text_tokenizer import PaddleTokenizer


class PaddleConfig(Protocol):
    """A model's configuration object."""

    architectures: list[str] | None
    vocab_size: int
    hidden_size: int
    hidden_act: str
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    type_vocab_size: int
    layer_norm_eps: float
    pad_token_id: int
    num_labels: int

    # Of some families alone, whose own functions read them.
    embedding_size: int
    fit_size: int
    pool_act: str
    task_id: int
    task_type_vocab_size: int
    use_task_id: bool

    def to_dict(self) -> dict[str, object]: ...
    def save_pretrained(self, directory: str, /) -> None: ...


class ConfigClass(Protocol):
    pretrained_init_configuration: Mapping[str, object]

    def __call__(self, **values: int) -> PaddleConfig: ...
    @overload
    def from_dict(self, values: Mapping[str, object], /) -> PaddleConfig: ...
    @overload
    def from_dict(
        self, values: Mapping[str, object], /, *, return_unused_kwargs: Literal[True], **overrides: object
    ) -> tuple[PaddleConfig, Mapping[str, object]]: ...
    def get_config_dict(self, name: str, /) -> tuple[dict[str, object], Mapping[str, object]]: ...


class ModelClass(Protocol):
    __name__: str
    base_model_prefix: str
    config_class: ConfigClass

    def __hash__(self) -> int: ...
    def __call__(self, config: PaddleConfig, /) -> nn.Layer: ...
    def forward(self, model: nn.Layer, input_ids: paddle.Tensor, /, **more: object) -> paddle.Tensor: ...
    def _resolve_model_file_path(self, name: str, /, *, convert_from_torch: bool) -> tuple[str, ...]: ...


class TokenizerClass(Protocol):
    resource_files_names: Mapping[str, str]

    def from_pretrained(self, name: str, /, **files: str) -> PaddleTokenizer: ...


def changed(config: PaddleConfig, **values: object) -> PaddleConfig:
    """A configuration of the same class with other values."""
    kind: ConfigClass = type(config)  # type: ignore[assignment]  # a Protocol cannot say what class its objects have
    return kind.from_dict({**config.to_dict(), **values})
