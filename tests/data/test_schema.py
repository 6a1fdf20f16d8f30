"""EasyNLP's columns of files without a header: read as named, refused in one line where they cannot be meant."""

import pytest

from ofa_bert import DataSource, make_job
from ofa_bert.data.labelled_file import LabelledData
from ofa_bert.data.schema import names_of, text_places
from ofa_bert.data.source import TrainingData
from ofa_bert.errors import UserError
from ofa_bert.files.fields import Fields
from ofa_bert.options import to_json

SCHEMA = "label:str:1,sid1:str:1,sid2:str:1,sent1:str:1,sent2:str:1"
PAIRS = {"input_schema": SCHEMA, "first_sequence": "sent1", "second_sequence": "sent2", "label_name": "label"}


@pytest.fixture
def files(tmp_path):
    for name, count in (("train", 12), ("dev", 4)):
        lines = [f"{'yes' if n % 3 else 'no'}\ta{n}\tb{n}\tfirst {n}\tsecond {n}" for n in range(count)]
        (tmp_path / f"{name}.tsv").write_text("\n".join(lines) + "\n")
    return {"train_file": str(tmp_path / "train.tsv"), "dev_file": str(tmp_path / "dev.tsv")}


def source(**options):
    return make_job(TrainingData, **options)


def test_columns_without_a_header_are_found_by_their_names(files):
    found = source(**files, **PAIRS).load()
    assert found.task.labels == ("no", "yes")
    assert len(found.train) == 12  # the first row is one too
    assert (found.train[0].text, found.train[0].text_pair, found.train[0].label) == ("first 0", "second 0", 0)
    single = source(**files, input_schema=SCHEMA, first_sequence="sent2").load()
    assert (single.train[1].text, single.train[1].text_pair) == ("second 1", None)
    by_number = source(**files, text_columns=["3", "4"], label_column=["0"]).load()
    assert by_number == found


def test_what_a_run_recorded_reads_the_same_files(files):
    job = source(**files, **PAIRS)
    again = DataSource.recorded(Fields(to_json(job), "the record"))
    assert again.load() == job.load()


def test_a_labelled_file_is_scored_by_the_same_names(files):
    data = make_job(LabelledData, file=files["dev_file"], **PAIRS)
    task, splits = data.load(None)
    assert splits["file"][3].text == "first 3"
    assert data.table(task).header == ("0", "1", "2", "3", "4")


def test_the_schema_names_every_column(files):
    for schema in ("label:str:1,sent1:str:1", f"{SCHEMA},more:str:1"):
        with pytest.raises(UserError, match=r"has 5 columns, `input_schema` names [26]; name every column of it"):
            source(**files, input_schema=schema, first_sequence="sent1").load()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"input_schema": "label:str:1,sent1"}, None),
        ({"input_schema": "label:text:1,sent1:str:1"}, "'label:text:1' is no column"),
        ({"input_schema": "label:str:2,sent1:str:1"}, "'label:str:2' is no column"),
        ({"input_schema": "label:str:1,,sent1:str:1"}, "'' is no column"),
        ({"input_schema": "label:str:1,sent1:str:1,sent1:str:1"}, "'sent1' stands there twice"),
        ({"first_sequence": "text"}, "`first_sequence` 'text': `input_schema` has label"),
        ({"second_sequence": "text"}, "`second_sequence` 'text': `input_schema` has label"),
        ({"label_name": "class"}, "`label_name` 'class': `input_schema` has label"),
        ({"first_sequence": None}, "`input_schema` needs `first_sequence`"),
        ({"input_schema": None}, "names a column of `input_schema`; give that too"),
        ({"text_columns": ["3"]}, "leave `text_columns` out"),
        ({"label_column": ["0"]}, "leave `label_column` out"),
        ({"train_file": None, "dev_file": None, "task_name": "demo"}, "`input_schema` describes `train_file`"),
    ],
)
def test_what_cannot_be_meant_is_one_line(files, options, said):
    given = {**files, **PAIRS, **options}
    given = {name: value for name, value in given.items() if value is not None}
    if said is None:
        given.pop("second_sequence")
        assert text_places(source(**given).schema) == ("1",)
        return
    with pytest.raises(UserError) as raised:
        source(**given)
    assert said in str(raised.value)


def test_a_type_may_be_left_out():
    assert names_of("label, sent1:str:1") == ("label", "sent1")
    assert names_of("score:float:1,sent1:str") == ("score", "sent1")
