"""A small task of questions about contexts in the tiny vocabulary: how a thing was, or what we did."""

import json
import random

_THINGS = ("film", "plot", "acting")
_OPINIONS = ("good", "bad", "dull", "bright", "very good", "very bad", "not very dull")
_FILLERS = ("they said a film is a film .", "but they said .", "they said , they said .", "a plot is a plot .")


def questions(count, seed=0, lacking=0.0, fillers=(0, 2)):
    """(question, context, answer, start) of random contexts; start -1 where the context lacks the answer."""
    rng, found = random.Random(seed), []
    for _ in range(count):
        thing, opinion, did = rng.choice(_THINGS), rng.choice(_OPINIONS), rng.choice(("liked", "hated"))
        said = [(f"the {thing} was", opinion, "."), ("we", did, "it .")]
        rng.shuffle(said)
        (question, answer, _), lacks = said[0], rng.random() < lacking
        parts = [" ".join(each) for each in (said[1:] if lacks else said)]
        parts += [rng.choice(_FILLERS) for _ in range(rng.randint(*fillers))]
        rng.shuffle(parts)
        context = " ".join(parts)
        start = -1 if lacks else context.index(f"{question} {answer}") + len(question) + 1
        found.append((question, context, "" if lacks else answer, start))
    return found


def squad(rows):
    """SQuAD's JSON, a paragraph for each."""
    paragraphs = []
    for number, (question, context, answer, start) in enumerate(rows):
        answers = [{"text": answer, "answer_start": start}] if start >= 0 else []
        qas = [{"id": f"q{number}", "question": question, "answers": answers, "is_impossible": start < 0}]
        paragraphs.append({"context": context, "qas": qas})
    return {"version": "v2.0", "data": [{"title": "films", "paragraphs": paragraphs}]}


def lines(rows):
    """JSONL."""
    return "".join(
        json.dumps({"question": q, "context": c, "answers": [{"text": a, "start": s}] if s >= 0 else []}) + "\n"
        for q, c, a, s in rows
    )


def write_case(directory, lacking=0.0, train=300, dev=60):
    """train.json in SQuAD's layout, dev.jsonl; the directory."""
    (directory / "train.json").write_text(json.dumps(squad(questions(train, lacking=lacking))))
    (directory / "dev.jsonl").write_text(lines(questions(dev, seed=1, lacking=lacking)))
    return directory
