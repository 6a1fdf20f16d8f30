"""Write a table of five classes, of which one has four fifths of the rows: train.csv, dev.csv and test.csv.

python benchmarks/imbalanced_csv.py --output_dir out/imbalanced

Messages to a shop. Each rare class has phrases of its own, and so have some messages of the usual class: of two classes
the phrases alone say too little to beat the usual one in accuracy. Drawn from `--seed`.
"""

import argparse
import csv
from pathlib import Path

import numpy as np

SHARES = {"other": 0.80, "delivery": 0.10, "refund": 0.05, "damage": 0.03, "legal": 0.02}
ROWS = {"train": 2500, "dev": 800, "test": 2000}
PHRASES = {
    "other": (
        "do you have it in blue", "what are your hours on monday", "the photo looks nice", "is there a newer one",
        "how long is the cable", "my sister has the same", "which size do you suggest", "can I pick it up myself",
    ),
    "delivery": (
        "it has not arrived", "the tracking page is empty", "the driver left it next door", "it went to my old address",
        "it should have been here on friday", "nobody rang at the door",
    ),
    "refund": (
        "I want my money back", "you charged me twice", "the return was booked weeks ago",
        "the voucher was not counted", "please cancel the invoice", "my bank shows no payment from you",
    ),
    "damage": (
        "the screen has a crack", "one leg is broken off", "the box was wet inside", "it makes a grinding noise",
        "the seam came open", "a corner is chipped",
    ),
    "legal": (
        "my lawyer asks for the contract", "delete all data about me", "you used my picture without asking",
        "this is my last reminder before court", "the warranty terms are not lawful", "I withdraw my consent",
    ),
}  # fmt: skip
ITEMS = "lamp desk kettle jacket phone chair tent mixer shelf bag".split()
OPENINGS = ("hello,", "good morning,", "about the order:", "a question:", "once more:", "hi,")
BORROWED = 0.12  # of the usual class's messages: they have a phrase of a rare one in place of their own
MUTED = 0.25  # of a rare class's messages: a phrase of the usual one beside their own


def row(rng, label):
    said = label
    if label == "other" and rng.random() < BORROWED:
        said = str(rng.choice([name for name in SHARES if name != "other"]))
    phrases = [str(rng.choice(PHRASES[said]))]
    if label != "other" and rng.random() < MUTED:
        phrases.append(str(rng.choice(PHRASES["other"])))
    rng.shuffle(phrases)
    return f"{rng.choice(OPENINGS)} the {rng.choice(ITEMS)}. {'. '.join(phrases)}."


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", required=True)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng, output = np.random.default_rng(given.seed), Path(given.output_dir)
    output.mkdir(parents=True, exist_ok=True)
    for name, count in ROWS.items():
        labels = rng.choice(list(SHARES), count, p=list(SHARES.values()))
        with (output / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["text", "label"])
            writer.writerows([row(rng, str(label)), label] for label in labels)
        print(f"{output / name}.csv: " + ", ".join(f"{label} {(labels == label).sum()}" for label in SHARES))


if __name__ == "__main__":
    main()
