"""Weights that an architecture's publisher offers: safetensors, or the publisher's own .pth known by its sha256.

A .pth is a pickle. One whose sha256 the publisher names is read all the same, by torch's restricted unpickler
(`weights_only=True`, which builds tensors and plain containers), and only by torch 2.6 or later: before, it could be got
round (CVE-2025-32434).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from assay.arrays import InputError
from assay.file_digests import file_digest
from assay.systems.adapter_options import readable_file
from assay.systems.weights import fill, read_weights

DOWNLOAD = Path("download")     # --weights download: the one word that lets the network be used
SAFE_TORCH = (2, 6)
OLD_NAME = re.compile(r"\.(norm|relu|conv)\.([12])\.(weight|bias|running_mean|running_var)$")


def read_state(path: Path, published: Sequence[str]) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, or of a .pth whose sha256 begins with one of the `published` digits.

    Raises `InputError` for any other file, with the command that converts it.
    """
    readable_file(path, what="weights")
    if path.suffix == ".safetensors":
        return read_weights(path)[0]
    digest = file_digest(path)
    if not any(len(p) >= 8 and digest.startswith(p) for p in published):
        raise InputError(f"weights {path}: a pickle that is none of the published files ({', '.join(published) or 'none'}; "
                         f"its sha256 is {digest[:8]}…), and a pickle can hold a program that runs as it is read: convert "
                         "it with safetensors.torch.save_file and give the .safetensors")
    if tuple(int(n) for n in torch.__version__.split(".")[:2]) < SAFE_TORCH:
        raise InputError(f"weights {path}: torch {torch.__version__} cannot read a .pth safely; install torch 2.6 or "
                         "later, or convert it to .safetensors")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken or forged archive raises whatever its first broken part raises
        raise InputError(f"weights {path}: not plain tensors ({type(error).__name__}); fetch it again") from None
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise InputError(f"weights {path}: not a dictionary of tensors; convert it to .safetensors")
    return {str(k): v.float() for k, v in state.items()}


def build(make: Callable[[int | None], nn.Module], state: dict[str, Tensor], path: Path, *, head: str = "") -> nn.Module:
    """`make(classes)`, filled; as many classes as the bias (or weight) of the last layer, `head`, has rows.

    Names of torchvision's first DenseNets are brought to today's, and counters of batches that old files lack are zero.
    """
    state = {OLD_NAME.sub(r".\1\2.\3", name): value for name, value in state.items()}
    module = make(None)
    expected = module.state_dict()
    last = head or list(expected)[-1]
    if last in state and state[last].shape[:1] != expected[last].shape[:1]:
        module = make(int(state[last].shape[0]))
        expected = module.state_dict()
    counters = {name: value for name, value in expected.items() if name.endswith("num_batches_tracked")}
    fill(module, {**counters, **state}, path)
    return module.eval()
