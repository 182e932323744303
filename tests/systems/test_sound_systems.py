"""Systems that listen: their features against plain loops, their gradients against differences, and what ships."""

from __future__ import annotations

import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.fft import dct
from torch import Tensor, nn

from assay.arrays import InputError
from assay.datasets.sounds import bundled_commands, load_sounds
from assay.systems import catalogue
from assay.systems.literature import res8
from assay.systems.sound_classifiers import Cepstra, CepstraRegression, warped
from assay.systems.sound_features import MelCepstrum, cosines, hertz, mel, mel_filters
from assay.systems.weights import read_weights

BANKS = {"res8": {"rate": 16_000, "length": 480, "count": 40, "low": 20.0, "high": 4000.0},
         "cepstra": {"rate": 16_000, "length": 640, "count": 26, "low": 20.0, "high": 7600.0},
         "another rate": {"rate": 8000, "length": 256, "count": 20, "low": 0.0, "high": 4000.0}}


def noise(*shape: int, seed: int = 0) -> Tensor:
    return 0.3 * torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# features

def mel_of(f: float) -> float:
    return 3 * f / 200 if f < 1000 else 15 + 27 * math.log(f / 1000) / math.log(6.4)


def hertz_of(m: float) -> float:
    return 200 * m / 3 if m < 15 else 1000 * 6.4 ** ((m - 15) / 27)


def filters_of(rate: int, length: int, count: int, low: float, high: float) -> np.ndarray:
    first, last = mel_of(low), mel_of(high)
    corners = [hertz_of(first + (last - first) * i / (count + 1)) for i in range(count + 2)]
    found = np.zeros((count, length // 2 + 1))
    for i in range(count):
        left, middle, right = corners[i:i + 3]
        for k in range(length // 2 + 1):
            f = k * rate / length
            if left < f <= middle:
                found[i, k] = 2 / (right - left) * (f - left) / (middle - left)
            elif middle < f < right:
                found[i, k] = 2 / (right - left) * (right - f) / (right - middle)
    return found


def test_the_mel_scale_and_its_inverse():
    f = torch.linspace(0, 8000, 161, dtype=torch.float64)
    assert torch.allclose(mel(f), torch.tensor([mel_of(float(v)) for v in f], dtype=torch.float64), rtol=1e-12)
    assert torch.allclose(hertz(mel(f)), f, rtol=1e-12)


@pytest.mark.parametrize("bank", BANKS)
def test_mel_filters_by_a_loop(bank):
    found, expected = mel_filters(**BANKS[bank]).numpy(), filters_of(**BANKS[bank])
    assert found.shape == expected.shape and np.abs(found - expected).max() < 1e-6 * expected.max()


def have_area_one(filters: Tensor, step: float) -> None:
    assert torch.allclose(filters.double().sum(1) * step, torch.ones(len(filters), dtype=torch.float64), atol=1e-4)


def test_mel_filters_are_triangles_of_area_one():
    """At a hundredth of a hertz from one frequency to the next the sum is the integral."""
    fine = mel_filters(rate=16_000, length=1_600_000, count=12, low=20.0, high=7600.0)
    have_area_one(fine, 0.01)
    with pytest.raises(AssertionError):
        have_area_one(fine / fine.amax(1, keepdim=True), 0.01)


def is_the_cosine_transform(rows, count: int, of: int) -> None:
    x = np.random.default_rng(0).normal(size=of)
    assert np.allclose(np.asarray(rows) @ x, dct(x, type=2, norm="ortho")[:count], atol=1e-5)


@pytest.mark.parametrize(("count", "of"), [(13, 26), (40, 40), (1, 5)])
def test_cosines_are_scipys(count, of):
    is_the_cosine_transform(cosines(count, of), count, of)
    with pytest.raises(AssertionError):
        is_the_cosine_transform(cosines(count, of) * torch.tensor([2**0.5] + [1] * (count - 1))[:, None], count, of)


def cepstrum_of(wave: np.ndarray, *, length: int, hop: int, mels: int, high: float, coefficients: int, floor: float,
                window: np.ndarray | None = None, mode: str = "reflect") -> np.ndarray:
    if window is None:
        window = np.array([0.5 - 0.5 * math.cos(2 * math.pi * i / length) for i in range(length)])
    filters = filters_of(16_000, length, mels, 20.0, high)
    padded = np.pad(wave, length // 2, mode=mode)
    rows = []
    for start in range(0, len(wave) + 1, hop):
        power = np.abs(np.fft.rfft(padded[start:start + length] * window)) ** 2
        rows.append(dct(np.log(filters @ power + floor), type=2, norm="ortho")[:coefficients])
    return np.array(rows)


SETTINGS = {"res8": {"length": 480, "hop": 160, "mels": 40, "high": 4000.0, "coefficients": 40, "floor": 1e-6},
            "published res8": {"length": 480, "hop": 160, "mels": 40, "high": 4000.0, "coefficients": 40, "floor": 0.0},
            "cepstra": {"length": 640, "hop": 320, "mels": 26, "high": 7600.0, "coefficients": 13, "floor": 1e-6}}


def agree(setting: str, **changed) -> None:
    waves = noise(2, 1600)
    found = MelCepstrum(**SETTINGS[setting]).double()(waves).numpy()
    expected = np.stack([cepstrum_of(wave, **SETTINGS[setting], **changed) for wave in waves.numpy()])
    assert found.shape == expected.shape and np.abs(found - expected).max() < 1e-5


@pytest.mark.parametrize("setting", SETTINGS)
def test_mel_cepstra_by_a_loop(setting):
    agree(setting)


@pytest.mark.parametrize("changed", [{"window": np.hanning(480)}, {"mode": "constant"}, {"mode": "symmetric"}])
def test_another_window_or_padding_is_caught(changed):
    with pytest.raises(AssertionError):
        agree("res8", **changed)


def test_without_a_floor_a_power_of_zero_gives_zero_and_a_finite_gradient():
    waves = torch.zeros(1, 1600, dtype=torch.float64)
    waves[0, 1500:] = noise(100)
    waves.requires_grad_()
    found = MelCepstrum().double()(waves)
    assert not found[0, :8].any() and found[0, 9:].abs().amin() > 0
    assert bool(torch.isfinite(torch.autograd.grad(found.sum(), waves)[0]).all())


def has_its_own_gradient(function, x: Tensor, *, tolerance: float = 1e-6, step: float = 1e-6) -> None:
    """⟨∇f(x), d⟩ against (f(x + h d) − f(x − h d)) / 2h in five random directions."""
    given = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(function(given), given)
    for seed in range(5):
        d = torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            slope = float(function(x + step * d) - function(x - step * d)) / (2 * step)
        assert abs(float((gradient * d).sum()) - slope) <= tolerance * max(1.0, abs(slope))


class Detached(MelCepstrum):
    """A broken twin: no gradient through the logarithms of every second frame."""

    def forward(self, waves):
        found = super().forward(waves)
        return torch.where((torch.arange(found.shape[1]) % 2 == 0)[:, None], found.detach(), found)


def of_features(module: nn.Module):
    def function(waves: Tensor) -> Tensor:
        found = module(waves)
        return (found * torch.cos(torch.arange(found.numel(), dtype=found.dtype)).reshape(found.shape)).sum()
    return function


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_gradient_of_mel_cepstra_is_their_slope(setting):
    has_its_own_gradient(of_features(MelCepstrum(**SETTINGS[setting]).double()), noise(2, 960), tolerance=1e-5)


def test_a_gradient_that_misses_frames_is_caught():
    with pytest.raises(AssertionError):
        has_its_own_gradient(of_features(Detached(**SETTINGS["res8"]).double()), noise(2, 960), tolerance=1e-5)


def unchanged_by(cepstra: nn.Module, gain: float) -> None:
    """Within what the floor allows: each log energy moves by at most |1 − 1/g²| · floor / (least energy), g² apart."""
    waves = noise(3, 3200)
    spectrum = MelCepstrum(**SETTINGS["cepstra"]).double()
    power = torch.stft(waves, 640, 320, window=spectrum.window, return_complex=True).abs().square()
    least = float((spectrum.filters @ power).min())
    moved = abs(1 - gain**-2) * 1e-6 / (least + 1e-6 * min(1.0, gain**-2))
    assert float((cepstra(gain * waves) - cepstra(waves)).abs().max()) <= 2 * math.sqrt(26) * moved + 1e-9


@pytest.mark.parametrize("gain", [0.1, 0.5, 3.0])
def test_cepstra_do_not_change_with_the_loudness(gain):
    unchanged_by(Cepstra().double(), gain)
    with pytest.raises(AssertionError):
        unchanged_by(MelCepstrum(**SETTINGS["cepstra"]).double(), gain)


def test_cepstra_have_no_mean():
    found = Cepstra()(noise(2, 3200).float())
    assert found.shape == (2, 11, 13) and float(found.mean(1).abs().max()) < 1e-5


# time warping

def warped_by_a_loop(s: np.ndarray, t: np.ndarray, diagonal: float = 2.0) -> float:
    reached = np.full((len(s), len(t)), np.inf)
    for i in range(len(s)):
        for j in range(len(t)):
            d = math.dist(s[i], t[j])
            if i == j == 0:
                reached[i, j] = 2 * d
                continue
            if i:
                reached[i, j] = min(reached[i, j], reached[i - 1, j] + d)
            if j:
                reached[i, j] = min(reached[i, j], reached[i, j - 1] + d)
            if i and j:
                reached[i, j] = min(reached[i, j], reached[i - 1, j - 1] + diagonal * d)
    return reached[-1, -1] / (len(s) + len(t))


def warps_as_the_loop(n: int, m: int, diagonal: float = 2.0, tolerance: float = 1e-9) -> None:
    sounds, templates = noise(4, n, 3, seed=n), noise(5, m, 3, seed=100 + m)
    expected = [[warped_by_a_loop(s, t, diagonal) for t in templates.numpy()] for s in sounds.numpy()]
    assert np.allclose(warped(sounds, templates).numpy(), expected, rtol=tolerance)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 6), (6, 1), (2, 2), (5, 5), (4, 9), (9, 4), (30, 27)])
def test_time_warping_by_a_loop(n, m):
    warps_as_the_loop(n, m, tolerance=1e-9 if max(n, m) < 26 else 1e-6)


def test_the_unsymmetric_form_is_caught():
    with pytest.raises(AssertionError):
        warps_as_the_loop(5, 5, diagonal=1.0)


def test_a_slowed_sound_is_no_further_away():
    sound = noise(1, 6, 3)
    assert float(warped(sound.repeat_interleave(2, dim=1), sound)) == 0.0
    assert float(warped(sound.flip(1), sound)) > 0.01


def is_nothing_from_itself(distances) -> None:
    """Exactly, also where a product of matrices would leave a rounding error: of many frames, far from the origin."""
    for dtype, frames in ((torch.float32, 101), (torch.float64, 101), (torch.float32, 26)):
        templates = (100 + 30 * noise(4, frames, 13)).to(dtype)
        found = distances(templates, templates)
        assert bool((found.diagonal() == 0).all()) and int((found == 0).sum()) == 4


def test_a_template_has_no_distance_to_itself():
    is_nothing_from_itself(warped)

    def by_products(sounds: Tensor, templates: Tensor) -> Tensor:
        costs = torch.cdist(sounds[:, None], templates[None], compute_mode="use_mm_for_euclid_dist")
        return costs.diagonal(dim1=2, dim2=3).mean(2)

    with pytest.raises(AssertionError):
        is_nothing_from_itself(by_products)


@pytest.mark.parametrize(("n", "m"), [(4, 7), (7, 4), (28, 30)])
def test_the_gradient_of_time_warping_is_its_slope(n, m):
    templates = noise(3, m, 3, seed=1)
    has_its_own_gradient(lambda sounds: warped(sounds, templates).sum(), noise(2, n, 3), tolerance=1e-5)
    with pytest.raises(AssertionError):
        has_its_own_gradient(lambda sounds: warped(sounds, templates).sum() - warped(sounds[:1].detach(), templates).sum(),
                             noise(2, n, 3), tolerance=1e-5)


# what ships

RIGHT = {"commands-res8": 100, "commands-cepstra": 100, "commands-dtw": 97}         # of a hundred


@pytest.mark.parametrize("name", RIGHT)
def test_shipped_classifiers_are_as_right_as_said_and_do_not_depend_on_the_batch(name):
    loaded, x = catalogue.load(name, role="audited"), bundled_commands().fetch(range(100))
    with torch.no_grad():
        together = loaded.system(x.inputs)
        alone = torch.cat([loaded.system(x.inputs[i: i + 1]) for i in range(12)])
        turned = loaded.system(x.inputs[:12].flip(0)).flip(0)
    assert together.shape == (100, 10) and loaded.record.kind == ("network" if name == "commands-res8" else "classical")
    assert int((together.argmax(1) == x.truth).sum()) == RIGHT[name]
    for other in (alone, turned):
        assert torch.allclose(together[:12], other, atol=1e-5 * float(together.abs().max()))


@pytest.mark.parametrize("name", RIGHT)
def test_gradients_of_the_shipped_classifiers_are_their_slopes(name):
    """In double precision, beside three words and away from kinks."""
    module, x = catalogue.load(name, role="audited").system.module.double(), bundled_commands().fetch([0, 5, 9])
    for wave, label in zip(x.inputs.double(), x.truth.tolist(), strict=True):
        has_its_own_gradient(lambda w, y=label: module(w)[0, y], wave[None], tolerance=1e-3, step=1e-9)


@pytest.mark.parametrize("samples", [15_999, 16_001, 1])
def test_res8_hears_one_second_alone(samples):
    with pytest.raises(InputError, match=r"one second at 16 kHz.*cut or pad"):
        catalogue.load("commands-res8", role="audited").system(torch.zeros(2, samples))
    with pytest.raises(InputError, match="one second"):
        res8.Res8(maps=2)(torch.zeros(16_000))


def test_a_regression_refuses_sounds_of_another_length():
    with pytest.raises(InputError, match="have 143 cepstra, this regression was fitted to 663"):
        catalogue.load("commands-cepstra", role="audited").system(torch.zeros(2, 3200))


def test_a_regression_is_its_formula():
    torch.manual_seed(0)
    model, waves = CepstraRegression(values=143, classes=4), noise(3, 3200).float()
    rows = Cepstra()(waves).reshape(3, -1).double().numpy()
    W, b = (p.detach().double().numpy() for p in (model.linear.weight, model.linear.bias))
    assert np.allclose(model(waves).detach().numpy(), rows @ W.T + b, atol=1e-4)


# the author's weights

def published(seed: int = 0) -> dict[str, np.ndarray]:
    """Arrays of Honk's names, with random values."""
    rng = np.random.default_rng(seed)
    found = {"conv0.weight": rng.normal(size=(4, 1, 3, 3)), "output.weight": rng.normal(size=(12, 4)),
             "output.bias": rng.normal(size=12)}
    for i in range(1, 7):
        found |= {f"conv{i}.weight": rng.normal(size=(4, 4, 3, 3)) / 6, f"bn{i}.running_mean": rng.normal(size=4),
                  f"bn{i}.running_var": 1 + rng.random(4)}
    found |= {f"scale{i}.scale": rng.normal(size=(1, 4, 1, 1)) for i in (1, 3, 5)}
    return {name: value.astype(np.float32) for name, value in found.items()}


def honk(arrays: dict[str, np.ndarray], waves: Tensor) -> Tensor:
    """The published forward pass written out: convolutions by hand-made sums over shifted planes."""
    def convolved(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        h, w = x.shape[2:]
        return sum(np.einsum("oc,bchw->bohw", kernel[:, :, i, j], padded[:, :, i:i + h, j:j + w])
                   for i in range(3) for j in range(3))

    setting = SETTINGS["published res8"]
    x = np.stack([cepstrum_of(wave, **setting) for wave in waves.double().numpy()])[:, None]
    x = np.maximum(convolved(x, arrays["conv0.weight"]), 0)
    x = x[:, :, :100, :39].reshape(len(x), 4, 25, 4, 13, 3).mean((3, 5))
    older = x
    for i in range(1, 7):
        y = np.maximum(convolved(x, arrays[f"conv{i}.weight"]), 0)
        if i % 2 == 0:
            y = y + older
            older = y
        mean, variance = arrays[f"bn{i}.running_mean"], arrays[f"bn{i}.running_var"]
        x = (y - mean[:, None, None]) / np.sqrt(variance[:, None, None] + 1e-5)
        if i % 2:
            x = x * arrays[f"scale{i}.scale"]
    return torch.from_numpy(x.mean((2, 3)) @ arrays["output.weight"].T + arrays["output.bias"])


def runs_as_published(arrays: dict[str, np.ndarray], used: dict[str, np.ndarray]) -> None:
    network = res8.Res8(maps=4).eval()
    network.load_state_dict(res8.from_author(used))
    waves = noise(2, 16_000).float()
    with torch.no_grad():
        found, expected = network(waves).double(), honk(arrays, waves)
    assert float((found - expected).abs().max()) < 1e-4 * float(expected.abs().max())


def test_the_network_is_the_published_one():
    runs_as_published(published(), published())


@pytest.mark.parametrize("name", ["scale3.scale", "bn4.running_var", "conv5.weight", "output.bias"])
def test_another_weight_is_caught(name):
    with pytest.raises(AssertionError):
        runs_as_published(published(), published() | {name: 1.5 * published()[name]})


@pytest.mark.parametrize("name", sorted(published()))
def test_a_missing_weight_is_named(name):
    arrays = published()
    del arrays[name]
    with pytest.raises(InputError, match=f"'{name}' is missing; expected the res8 of castorini/honk-models"):
        res8.from_author(arrays)


def test_a_torch_file_of_tensors_is_read(tmp_path):
    torch.save({name: torch.from_numpy(value) for name, value in published().items()}, tmp_path / "res8.pt")
    state, facts = read_weights(tmp_path / "res8.pt", res8.from_author)
    assert facts == {"origin": "author's published arrays"}
    assert all(torch.equal(state[name], value) for name, value in res8.from_author(published()).items())
    with pytest.raises(InputError, match=r"such as \.pt and \.pkl, are refused"):
        read_weights(tmp_path / "res8.pt")


class Trap:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def written_by_torch(path: Path, trap: Trap) -> None:
    torch.save({"conv0.weight": torch.zeros(4, 1, 3, 3), "trap": trap}, path)


def written_by_pickle(path: Path, trap: Trap) -> None:
    path.write_bytes(pickle.dumps({"trap": trap}))


def refuses_without_running(read, write, folder: Path) -> None:
    write(folder / "res8.pt", Trap(folder / "ran"))
    try:
        with pytest.raises(InputError, match="files with Python objects are refused"):
            read(folder / "res8.pt")
    finally:
        assert not (folder / "ran").exists()


@pytest.mark.parametrize("write", [written_by_torch, written_by_pickle])
def test_a_python_object_is_refused_without_running_it(write, tmp_path):
    refuses_without_running(lambda path: read_weights(path, res8.from_author), write, tmp_path)


def test_reading_that_runs_the_object_is_caught(tmp_path):
    with pytest.raises(AssertionError):
        refuses_without_running(lambda path: torch.load(path, weights_only=False), written_by_torch, tmp_path)


def test_a_damaged_torch_file_is_refused(tmp_path):
    torch.save({"conv0.weight": torch.zeros(4, 1, 3, 3)}, tmp_path / "res8.pt")
    whole = (tmp_path / "res8.pt").read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"no weights"):
        (tmp_path / "res8.pt").write_bytes(content)
        with pytest.raises(InputError, match=r"res8\.pt"):
            read_weights(tmp_path / "res8.pt", res8.from_author)


@pytest.mark.data
def test_the_published_weights_hear_recorded_words(real_data):
    """325 of 360 recordings of the test set of Speech Commands v0.02: 90.3 %."""
    folder = real_data / "speech_commands"
    system = catalogue.load("res8", role="audited", weights=folder / "res8.pt").system
    data = load_sounds(folder / "wav")
    assert len(data.ids) == 360 and "4 recordings clipped" in data.record.description
    assert "silent" not in data.record.description.replace("_silence_", "")
    published_number = torch.tensor([res8.PUBLISHED.index(name.strip("_")) for name in data.classes])
    x = data.fetch(range(360))
    with torch.no_grad():
        heard = torch.cat([system(part) for part in x.inputs.split(60)]).argmax(1)
    assert int((heard == published_number[x.truth]).sum()) == 325
