"""The command line that compiles a bundle's ONNX model with NVIDIA's TensorRT."""

from collections.abc import Sequence

from ofa_bert.cli.parser import parse
from ofa_bert.cli.process import show


def run(argv: Sequence[str] | None) -> None:
    about = "Print the trtexec command line for a bundle, with profiles for batch and length; run it where TensorRT is."
    from ofa_bert.runtime.jobs import TrtexecJob

    job = parse(TrtexecJob, argv, about, command="trtexec")
    from ofa_bert.runtime.predict_file import trtexec_for

    show(trtexec_for(job))
