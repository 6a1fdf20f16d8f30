"""The command: what it writes and says, and what it refuses, each in one line."""

import json

import pytest

from helpers.loads import LADDER, as_json, linear
from ofa_bert import __main__ as program

SHORT = ["--seconds", "5", "--rate", "50", "400", "--seed", "3"]


@pytest.fixture
def points(tmp_path):
    return written(tmp_path / "points.json", as_json(LADDER))


def written(path, value):
    path.write_text(json.dumps(value), "utf-8")
    return str(path)


def simulated(tmp_path, *words, name="out"):
    assert program.main(["simulate", "--output_dir", str(tmp_path / name), *words]) == 0
    return json.loads((tmp_path / name / "simulation.json").read_text("utf-8"))


def refused(capsys, *words):
    assert program.main(["simulate", *words]) == 2
    said = capsys.readouterr().err.strip()
    assert "\n" not in said
    return said


def test_every_load_policy_and_number_of_workers_is_a_row(tmp_path, points, capsys):
    found = simulated(
        tmp_path, "--points", points, *SHORT, "--workers", "1", "2", "--policies", "slackfit", "fixed:full"
    )
    assert [(row["workers"], row["rate"], row["policy"]) for row in found["rows"]] == [
        (workers, rate, policy) for workers in (1, 2) for rate in (50, 400) for policy in ("slackfit", "fixed:full")
    ]
    assert all(set(row["answered_by"]) == {"full"} for row in found["rows"] if row["policy"] == "fixed:full")
    assert found["settings"]["deadline_ms"] == 50
    told = capsys.readouterr().out
    assert told.startswith((tmp_path / "out" / "table.md").read_text("utf-8").strip())
    assert "2 workers, slackfit: 99.00% in time up to 400 requests/s" in told
    assert "1 worker, fixed:full: 99.00% in time up to none of these loads" in told
    assert (tmp_path / "out" / "load.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_seed_gives_the_same_rows(tmp_path, points):
    words = ["--points", points, *SHORT, "--trace", "bursty"]
    first, again = (simulated(tmp_path, *words, name=name)["rows"] for name in ("a", "b"))
    assert first == again
    assert simulated(tmp_path, *words[:-3], "4", *words[-2:], name="c")["rows"] != first


def test_points_of_a_benchmark(tmp_path):
    rows = [
        {"bundle": bundle, "backend": "onnx_runtime", "precision": "int8", "peer": bundle == "theirs", "threads": 1,
         "batch": batch, "length": 64, "p50_ms": ms * batch, "score": score}
        for bundle, ms, score in (("w1", 8.0, 90.0), ("w0.5", 3.0, 85.0), ("w0.4", 4.0, 84.0), ("theirs", 1.0, None))
        for batch in (1, 8)
    ]  # fmt: skip
    (tmp_path / "bench").mkdir()
    written(tmp_path / "bench" / "rows.json", {"rows": rows, "skipped": []})
    found = simulated(tmp_path, "--points", str(tmp_path / "bench"), "--seconds", "5", "--trace", "day")
    assert found["points"] == ["w1 onnx_runtime int8", "w0.5 onnx_runtime int8"]
    assert found["left_out"] == ["w0.4 onnx_runtime int8"]  # slower than w0.5, and no better


def test_points_without_scores(tmp_path):
    path = written(tmp_path / "p.json", as_json([linear("a", None, 5, 1), linear("b", None, 2, 2)]))
    rows = simulated(tmp_path, "--points", path, "--seconds", "5")["rows"]
    assert {row["score_answered"] for row in rows} == {None}
    assert {row["attainment"] for row in rows if row["policy"] == "slackfit"} == {1.0}


def test_a_trace_from_a_file_as_it_is_and_at_another_rate(tmp_path, points):
    lines = ["seconds,length,priority", *(f"{at / 10},{16 + at},{at % 2}" for at in range(100))]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    words = ["--points", points, "--trace", str(tmp_path / "t.csv"), "--policies", "slackfit"]
    (row,) = simulated(tmp_path, *words, name="a")["rows"]
    assert row["requests"] == 100
    assert row["rate"] == pytest.approx(100 / 9.9)
    assert row["attainment_by_priority"] == {"1": 1.0, "0": 1.0}
    rows = simulated(tmp_path, *words, "--rate", "5", "5000", "--seconds", "2", name="b")["rows"]
    assert [row["requests"] for row in rows] == [10, 100]
    assert rows[1]["attainment"] < 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--deadline_ms 0", "--deadline_ms 0.0: must be above 0"),
        ("--deadline_ms 2", "--deadline_ms 2: the fastest point takes 3 ms for one request; allow more"),
        ("--workers 0", "--workers 0: must be at least 1"),
        ("--workers 2 2", "--workers 2: given twice"),
        ("--trace gamma", "--trace gamma: must be one of poisson, bursty, day, or a .tsv, .csv, .jsonl file"),
        ("--trace none.csv", "none.csv"),
        ("--trace none.csv --lengths 8", "--lengths: is about drawn requests"),
        ("--cv2 4", "--cv2: is about --trace bursty"),
        ("--policies best", "--policies best: must be one of slackfit"),
        ("--policies fixed:x", "--policies fixed:x: no such point; there are full, half, small"),
        ("--lengths 256", "--lengths 256: points are measured up to 128"),
        ("--lengths 8 16 --length_counts 1", "--length_counts: needs a count for each of --lengths"),
        ("--rate 1e6 --seconds 60", "--rate, --seconds: more than 1000000 requests"),
        ("--rate 0.001 --seconds 1", "--rate 0.001: no request came in 1 seconds"),
        ("--attainment 1.5", "--attainment 1.5: must be above 0 and at most 1"),
    ],
)
def test_nonsense_is_one_line(tmp_path, points, capsys, words, said):
    out = tmp_path / "out"
    assert said in refused(capsys, "--points", points, "--output_dir", str(out), *words.split())
    assert not out.exists()


GOOD = {"name": "a", "score": 1.0, "milliseconds": [{"batch": 1, "length": 8, "ms": 5.0}]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"milliseconds": []}, "has no milliseconds"),
        ({"milliseconds": [{"batch": 1, "length": 8, "ms": -5}]}, "ms is -5, must be a finite number from 1e-06"),
        ({"milliseconds": [{"batch": 0, "length": 8, "ms": 5}]}, "batch is 0, must be a whole number from 1 to 4096"),
        ({"milliseconds": GOOD["milliseconds"] * 2}, "batch 1, length 8 is there twice"),
        (
            {"milliseconds": [*GOOD["milliseconds"], {"batch": 2, "length": 9, "ms": 5}]},
            "a has no milliseconds for batch 1, length 9",
        ),
        ({"name": " "}, "name is ' ', must be a text that can be read"),
        ({"name": "b"}, "--points: b is there twice"),
        ({"score": None}, "--points: a has no score and others have one"),
    ],
)
def test_a_bad_point_is_one_line(tmp_path, capsys, change, said):
    path = written(tmp_path / "p.json", {"points": [{**GOOD, **change}, {**GOOD, "name": "b"}]})
    assert said in refused(capsys, "--points", path, "--output_dir", str(tmp_path / "out"))


@pytest.mark.parametrize("words", [(), ("--rate", "5"), ("--seconds", "0.5")])
def test_a_trace_whose_requests_come_at_once_has_no_load(tmp_path, points, capsys, words):
    (tmp_path / "t.csv").write_text("seconds\n3\n3\n" + "4\n" * ("--seconds" in words))
    out = str(tmp_path / "out")
    said = refused(capsys, "--points", points, "--output_dir", out, "--trace", str(tmp_path / "t.csv"), *words)
    assert "t.csv: all requests come at once, which is no load; give their times" in said


def test_a_trace_with_a_request_that_is_too_long(tmp_path, points, capsys):
    (tmp_path / "t.csv").write_text("seconds,length\n0,129\n")
    said = refused(capsys, "--points", points, "--output_dir", str(tmp_path), "--trace", str(tmp_path / "t.csv"))
    assert "a request has length 129, points are measured up to 128" in said
