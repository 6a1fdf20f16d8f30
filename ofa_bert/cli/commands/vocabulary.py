"""The tokens that texts need, for a smaller vocabulary."""

from collections.abc import Sequence

from ofa_bert.cli.parser import parse
from ofa_bert.cli.process import show


def run(argv: Sequence[str] | None) -> None:
    about = "Write the tokens that some texts need, one a line: the file for --trim_vocab of export."
    example = (
        "python -m ofa_bert vocabulary --model_name_or_path ./tmp/SST-2-ofa --texts train.tsv mails.txt --characters\n"
        "    --output tokens.txt\n"
        "python -m ofa_bert export --model_name_or_path ./tmp/SST-2-ofa --trim_vocab tokens.txt ..."
    )
    from ofa_bert.export.job import VocabularyJob

    job = parse(VocabularyJob, argv, about, example, command="vocabulary")
    from ofa_bert.export.token_file import write_token_file

    show(write_token_file(job))
