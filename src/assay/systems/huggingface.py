"""Hugging Face text classifiers from a local folder: tokenizer, configuration, safetensors. Nothing is ever fetched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from assay.arrays import InputError
from assay.file_digests import file_digest
from assay.systems.loaded import Adapted
from assay.systems.packages import require, version_of
from assay.systems.texts import TextSystem

WEIGHTS, CONFIGURATION = "model.safetensors", "config.json"
READ = (".json", ".txt", ".model", ".safetensors")      # kinds of files of which such a folder is made
BATCH = 32
OWN = ("longest",)


def load(rest: str, *, weights: Path | None, options: Mapping[str, Any]) -> Adapted:
    """`huggingface:FOLDER`, as `save_pretrained` writes it; `?longest=256` cuts texts to so many tokens.

    Without it texts are cut where tokenizer or network says, and refused where neither does. Code of the folder is never
    run, and pickled weights are refused. Raises `InputError` naming folder, file and remedy.
    """
    what = f"huggingface:{rest}"
    if weights is not None:
        raise InputError(f"{what}: the weights are those of the folder ({WEIGHTS}); leave out --weights")
    if unknown := sorted(set(options) - set(OWN)):
        raise InputError(f"{what}: unknown setting {unknown[0]!r}; known: {', '.join(OWN)}")
    folder = _folder(Path(rest), what)
    transformers = require("transformers", extra="huggingface", what=what)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        module = transformers.AutoModelForSequenceClassification.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, use_safetensors=True)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [""])[0][:200]
        raise InputError(f"{what}: transformers cannot read it ({type(error).__name__}: {reason}); save model and tokenizer "
                         "again with save_pretrained") from None
    module.eval().requires_grad_(False)
    classes = int(module.config.num_labels)
    if classes < 2:
        raise InputError(f"{what}: it gives {classes} number for each text, and a classifier one for each class; train it "
                         "with num_labels of at least 2")
    longest = _longest(options, tokenizer, module.config, what)
    settings = {"format": "huggingface", "transformers": version_of("transformers"), "longest": longest,
                "classes": [str(module.config.id2label.get(i, i)) for i in range(classes)]}
    found = TextSystem(lambda texts: _scores(module, tokenizer, texts, longest), name=what, kind="network",
                       settings=settings, module=module)
    files = {str(file.relative_to(folder)): file_digest(file) for file in sorted(folder.iterdir())
             if file.is_file() and file.suffix in READ}
    return Adapted(system=found, name=what, settings=settings, files=files,
                   description=f"{module.config.model_type} for {classes} classes, {folder.name}, at most {longest} tokens")


def _folder(folder: Path, what: str) -> Path:
    if not folder.is_dir():
        raise InputError(f"{what}: no such folder; nothing is fetched: save the model there with save_pretrained")
    for name in (CONFIGURATION, WEIGHTS):
        if not (folder / name).is_file():
            pickled = ", and pytorch_model.bin, a pickle, is refused" if (folder / "pytorch_model.bin").exists() else ""
            raise InputError(f"{what}: {name} is missing{pickled}; save the model with "
                             "save_pretrained(folder, safe_serialization=True)")
    return folder


def _longest(options: Mapping[str, Any], tokenizer: Any, configuration: Any, what: str) -> int:
    """The greatest number of tokens: as said, else the least that tokenizer and network allow."""
    said = options.get("longest")
    if said is not None and (isinstance(said, bool) or not isinstance(said, int) or said < 3):
        raise InputError(f"{what}: longest={said!r}; expected a whole number of at least 3 tokens")
    allowed = [int(n) for n in (tokenizer.model_max_length, getattr(configuration, "max_position_embeddings", None))
               if n is not None and 0 < n < 10**6]
    if said is None and not allowed:
        raise InputError(f"{what}: neither tokenizer nor network says how many tokens a text may have; say ?longest=512")
    return min([*allowed, said] if said is not None else allowed)


def _scores(module: Any, tokenizer: Any, texts: Sequence[str], longest: int) -> Tensor:
    """Logits (texts, classes), each text padded and masked, so that it does not see its neighbours."""
    found = []
    with torch.no_grad():
        for start in range(0, len(texts), BATCH):
            tokens = tokenizer(list(texts[start: start + BATCH]), padding=True, truncation=True, max_length=longest,
                               return_tensors="pt")
            found.append(module(**tokens).logits.float())
    return torch.cat(found)
