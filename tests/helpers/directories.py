"""Model directories as PaddleNLP and our own commands leave them, without the training."""

from helpers.models import VOCABULARY

DISTIL_OPTIONS = "--task_name SST-2 --device cpu --max_seq_length 32 --logging_steps 20 --adam_epsilon 1e-3".split()


def encoder_dir(directory, layers=2, hidden=32, vocabulary=VOCABULARY):
    import paddle
    from paddlenlp.transformers import BertConfig, BertModel, BertTokenizer

    directory.mkdir()
    paddle.seed(4)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=4,
        intermediate_size=2 * hidden, max_position_embeddings=64, type_vocab_size=2, initializer_range=0.1,
    )  # fmt: skip
    (directory / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    BertModel(config).save_pretrained(str(directory))
    BertTokenizer(str(directory / "vocab.txt")).save_pretrained(str(directory))
    return directory


def distil_arguments(models, glue_dir, student, output, *more):
    data = ["distil", *DISTIL_OPTIONS, "--data_dir", str(glue_dir), "--teacher", str(models / "teacher")]
    return [*data, "--student", str(student), "--output_dir", str(output), *more]
