"""Hugging Face text classifiers from a folder: the package's own logits, alone or in a batch; what is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from assay.arrays import InputError
from assay.numerics.texts import encode
from assay.systems import catalogue

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "back", "pain", "since", "two", "weeks", "lumbago", "denies", "fever"]
TEXTS = ["back pain since two weeks", "lumbago", "denies fever back pain pain pain pain pain pain pain pain pain pain"]


@pytest.fixture
def transformers() -> Any:
    return pytest.importorskip("transformers", reason="transformers is not installed: pip install 'assay[huggingface]'")


@pytest.fixture
def folder(transformers: Any, tmp_path: Path) -> Path:
    """A small BERT with random weights and a vocabulary of thirteen words."""
    torch.manual_seed(0)
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS))
    made = tmp_path / "made"
    transformers.BertTokenizerFast(vocab=str(tmp_path / "vocab.txt"), vocab_file=str(tmp_path / "vocab.txt"),
                                   model_max_length=12).save_pretrained(made)
    configuration = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=32, num_labels=3, id2label={0: "low", 1: "middle", 2: "high"})
    transformers.BertForSequenceClassification(configuration).eval().save_pretrained(made)
    return made


def own_logits(transformers: Any, folder: Path, text: str, longest: int) -> torch.Tensor:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        return model(**tokenizer(text, truncation=True, max_length=longest, return_tensors="pt")).logits[0]


def test_logits_are_the_packages_own_whatever_the_batch(transformers, folder):
    loaded = catalogue.load(f"huggingface:{folder}", role="audited")
    together = loaded.system(torch.from_numpy(encode(TEXTS)))
    for i, text in enumerate(TEXTS):
        expected = own_logits(transformers, folder, text, longest=12)
        assert torch.allclose(together[i], expected, atol=1e-5)
        assert torch.allclose(loaded.system(torch.from_numpy(encode([text])))[0], expected, atol=1e-5)
    assert together.shape == (3, 3) and not torch.allclose(together[0], together[1])


def test_texts_are_cut_where_said(transformers, folder):
    cut = catalogue.load(f"huggingface:{folder}?longest=5", role="audited").system(torch.from_numpy(encode(TEXTS)))
    assert torch.allclose(cut[2], own_logits(transformers, folder, TEXTS[2], longest=5), atol=1e-5)
    assert not torch.allclose(cut[2], own_logits(transformers, folder, TEXTS[2], longest=12), atol=1e-5)


def test_the_digest_is_that_of_the_files_and_the_length(folder):
    one = catalogue.load(f"huggingface:{folder}", role="audited").record
    assert one.digest == catalogue.load(f"huggingface:{folder}", role="audited").record.digest
    assert one.digest != catalogue.load(f"huggingface:{folder}?longest=5", role="audited").record.digest
    assert {"config.json", "model.safetensors"} <= set(one.files)
    said = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**said, "do_lower_case": False}))
    assert catalogue.load(f"huggingface:{folder}", role="audited").record.digest != one.digest


def test_what_is_told_of_it(folder):
    loaded = catalogue.load(f"huggingface:{folder}", role="audited")
    assert loaded.record.description == "bert for 3 classes, made, at most 12 tokens"
    assert catalogue.tasks_of(loaded.record.loader) == ("text",)
    assert dataclasses.asdict(loaded.record)["kind"] == "network"


@pytest.mark.parametrize(("change", "reason"), [
    (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), "pytorch_model.bin, a pickle, is refused"),
    (lambda f: (f / "config.json").unlink(), "config.json is missing"),
    (lambda f: (f / "config.json").write_text("{"), "transformers cannot read it"),
    (lambda f: (f / "model.safetensors").write_bytes(b"\0" * 64), "transformers cannot read it")])
def test_damaged_folders_are_refused(folder, change, reason):
    change(folder)
    with pytest.raises(InputError, match=reason):
        catalogue.load(f"huggingface:{folder}", role="audited")


def test_one_number_for_each_text_is_refused(transformers, folder):
    configuration = transformers.AutoConfig.from_pretrained(folder, num_labels=1)
    transformers.BertForSequenceClassification(configuration).save_pretrained(folder)
    with pytest.raises(InputError, match="1 number for each text"):
        catalogue.load(f"huggingface:{folder}", role="audited")


@pytest.mark.parametrize(("spec", "reason"), [
    ("huggingface:/no/such/folder", "no such folder; nothing is fetched"), ("huggingface:", "nothing follows huggingface:"),
    ("huggingface:x?scale=2", "unknown setting 'scale'")])
def test_without_a_folder_nothing_is_fetched(spec, reason):
    with pytest.raises(InputError, match=reason):
        catalogue.load(spec, role="audited")


@pytest.mark.parametrize("longest", ["2", "a"])
def test_a_length_that_is_none_is_refused(folder, longest):
    with pytest.raises(InputError, match="longest="):
        catalogue.load(f"huggingface:{folder}?longest={longest}", role="audited")
