"""Weights files: safetensors with facts in their header, or an author's plain npz. Nothing is ever unpickled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import torch
from torch import Tensor, nn

from assay.arrays import InputError

SHIPPED = resources.files("assay.systems.literature") / "weights"
State = Mapping[str, Tensor]
Arrays = dict[str, np.ndarray]
MOST_BYTES = 4 << 30        # of an author's arrays once unpacked


def read_weights(path: Path, from_author: Callable[[Arrays], dict[str, Tensor]] | None = None,
                 ) -> tuple[dict[str, Tensor], dict[str, str]]:
    """State and facts from .safetensors, or from the author's .npz where the network has one; else refused."""
    if not path.exists():
        raise InputError(f"weights {path}: no such file")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError, safe_open
        try:
            with safe_open(path, framework="pt") as file:
                facts = dict(file.metadata() or {})
                return {k: file.get_tensor(k).float() for k in file.keys()}, facts  # noqa: SIM118 - not a dict
        except SafetensorError as error:
            raise InputError(f"weights {path}: not a whole safetensors file ({error}); fetch it again") from None
    if path.suffix == ".pt" and from_author is not None:
        return _of_author(from_author, _torch_arrays(path), path)
    if path.suffix == ".npz" and from_author is not None:
        return _of_author(from_author, _npz_arrays(path), path)
    raise InputError(f"weights {path}: expected .safetensors (or the author's own file, where a network has one); formats "
                     "that can hold programs, such as .pt and .pkl, are refused: convert with safetensors.torch.save_file")


def _npz_arrays(path: Path) -> Arrays:
    """The arrays of an .npz, read without running anything it holds."""
    try:
        with path.open("rb") as raw, ZipFile(raw) as archive:
            if (size := sum(member.file_size for member in archive.infolist())) > MOST_BYTES:
                raise InputError(f"weights {path}: declares {size / 2**30:.1f} GiB once unpacked, and no network here is so "
                                 "large")
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            return {k: file[k] for k in file.files}
    except InputError:
        raise
    except Exception as error:          # numpy raises nearly every kind of exception on a damaged header
        raise InputError(f"weights {path}: not a plain npz of arrays ({type(error).__name__}: {error}); files with Python "
                         "objects are refused") from None


def _torch_arrays(path: Path) -> Arrays:
    """The tensors of a torch file, read without running anything it holds."""
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        return {str(name): value.detach().numpy() for name, value in state.items()}
    except Exception as error:
        raise InputError(f"weights {path}: not a plain torch file of tensors ({type(error).__name__}); files with Python "
                         "objects are refused") from None


def _of_author(from_author: Callable[[Arrays], dict[str, Tensor]], arrays: Arrays, path: Path,
               ) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        return from_author(arrays), {"origin": "author's published arrays"}
    except InputError as error:
        raise InputError(f"weights {path}: {error}") from None


def fill(module: nn.Module, state: State, path: Path) -> None:
    """Load the state into the module; `InputError` names the first weight that is missing, extra or misshaped."""
    expected = module.state_dict()
    for name, value in expected.items():
        if name not in state:
            raise InputError(f"weights {path}: {name!r} is missing")
        if state[name].shape != value.shape:
            raise InputError(f"weights {path}: {name!r} has shape {tuple(state[name].shape)}, the network needs "
                             f"{tuple(value.shape)}")
        if not bool(torch.isfinite(state[name]).all()):
            raise InputError(f"weights {path}: {name!r} holds NaN or infinite values")
    if extra := sorted(set(state) - set(expected)):
        raise InputError(f"weights {path}: unexpected weight {extra[0]!r}")
    module.load_state_dict(dict(state))
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # convolutions run up to twice as fast
    for parameter in module.parameters():
        parameter.requires_grad_(False)         # ours, freshly built: gradients of the inputs alone are ever needed

