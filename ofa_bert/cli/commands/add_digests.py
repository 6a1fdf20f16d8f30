"""Digests for bundles from before there were any."""

from ofa_bert.cli.parser import parse
from ofa_bert.cli.process import show


def run(argv):
    about = "Write the SHA-256 of every file into the manifest of a bundle that was exported before there were any."
    example = "python -m ofa_bert add_digests --bundle ./tmp/SST-2-small-static"
    from ofa_bert.bundle.add_digests import AddDigestsJob, add_digests

    job = parse(AddDigestsJob, argv, about, example, command="add_digests")
    show(add_digests(job.bundle))
