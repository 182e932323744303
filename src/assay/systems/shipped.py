"""The networks that come with Assay, by the names users call them, and the classifiers fitted by its recipes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from assay.systems.code_classifiers import (
    build_code_logistic,
    build_code_network,
    build_encounter_logistic,
    build_encounter_network,
)
from assay.systems.ctc import build_spelled
from assay.systems.established_classifiers import build_hog_svm, build_multinomial
from assay.systems.literature import deep_cascade, lenet, lisa_cnn, mlp, res8
from assay.systems.literature.automap import Automap
from assay.systems.literature.medmnist_cnn import MedmnistCnn
from assay.systems.literature.signs import FAMILIES, Family
from assay.systems.literature.unet import UNet
from assay.systems.row_classifiers import build_row_logistic, build_row_network
from assay.systems.sound_classifiers import build_cepstra_regression, build_nearest_template
from assay.systems.text_classifiers import build_tfidf, build_word_cnn
from assay.systems.verification import build_cepstral, build_voice_net
from assay.systems.weights import Arrays, State


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network of the literature: how its module is made from its weights; `from_author` reads its author's own file.

    `weights` is the shipped file; "" where only the author's own, given by path, may be used.
    """

    build: Callable[[State], nn.Module]
    weights: str
    description: str
    task: str = "reconstruction"
    kind: str = "network"
    one_operator: bool = False
    one_coil: bool = False
    rate: int = 0                   # of the sounds it hears, samples a second
    from_author: Callable[[Arrays], dict[str, Tensor]] | None = None


def _automap(state: State) -> nn.Module:
    hidden, inputs = state["first.weight"].shape
    return Automap(samples=inputs // 2, hidden=hidden, size=round(state["second.weight"].shape[0] ** 0.5))


def _sign(family: Family) -> Callable[[State], nn.Module]:
    return lambda state: family.build()


NETWORKS: dict[str, Network] = {
    "deep-cascade": Network(build=lambda state: deep_cascade.DeepCascade(), weights="deep_cascade.safetensors",
                            description="Deep cascade D5-C5 (Schlemper et al. 2018), trained on MNI152 slices",
                            one_coil=True, from_author=deep_cascade.from_author),
    "deep-cascade-jitter": Network(
        build=lambda state: deep_cascade.DeepCascade(), weights="deep_cascade_jitter.safetensors",
        description="Deep cascade D5-C5 trained with jitter up to 8 % (Genzel, Macdonald and März 2023)",
        one_coil=True, from_author=deep_cascade.from_author),
    "unet": Network(build=lambda state: UNet(), weights="unet.safetensors",
                    description="U-Net from the zero-filled image, without data consistency"),
    "automap": Network(build=_automap, weights="automap.safetensors",
                       description="AUTOMAP 48×48 (Zhu et al. 2018), 60 % variable density, one fixed mask",
                       one_operator=True, one_coil=True),
    "lenet": Network(build=lenet.build, weights="lenet.safetensors", task="classification",
                     description="LeNet (LeCun et al. 1998), trained on handwritten digits 8×8"),
    "mlp": Network(build=mlp.build, weights="mlp.safetensors", task="classification",
                   description="Multilayer perceptron 500-150-10, trained on handwritten digits 8×8"),
    "hog-svm": Network(build=build_hog_svm, weights="hog_svm.safetensors", task="classification", kind="classical",
                       description="Histograms of oriented gradients and a linear SVM (Dalal and Triggs 2005), digits 8×8"),
    "multinomial": Network(build=build_multinomial, weights="multinomial.safetensors", task="classification",
                           kind="classical", description="Multinomial logistic regression on the pixels, digits 8×8"),
    "pneumonia": Network(build=lambda state: MedmnistCnn(), weights="pneumonia.safetensors", task="classification",
                         description="Small CNN, trained on PneumoniaMNIST 28×28: 0 normal, 1 pneumonia"),
    "lisa-cnn": Network(build=lambda state: lisa_cnn.LisaCnn(), weights="", task="classification",
                        from_author=lisa_cnn.from_author,
                        description="LISA-CNN (Eykholt et al. 2018), the authors' weights: 18 US traffic signs 32×32"),
    "notes-cnn": Network(build=build_word_cnn, weights="notes_cnn.safetensors", task="text",
                         description="Word CNN (Kim 2014), trained on synthetic clinical notes: 0 low risk, 1 high risk"),
    "notes-tfidf": Network(build=build_tfidf, weights="notes_tfidf.safetensors", task="text", kind="classical",
                           description="TF-IDF and logistic regression on words and pairs, synthetic clinical notes"),
    "claims-net": Network(build=build_code_network, weights="claims_net.safetensors", task="codes",
                          description="Network on sums of code vectors, trained on synthetic claims: 0 denied, 1 approved"),
    "claims-logistic": Network(build=build_code_logistic, weights="claims_logistic.safetensors", task="codes",
                               kind="classical", description="Logistic regression on the codes, synthetic claims"),
    "readmission-net": Network(
        build=build_encounter_network, weights="readmission_net.safetensors", task="codes",
        description="Network on code vectors and facts, trained on Diabetes-130 encounters: 0 stays away, 1 readmitted"),
    "readmission-logistic": Network(
        build=build_encounter_logistic, weights="readmission_logistic.safetensors", task="codes", kind="classical",
        description="Logistic regression on codes and facts, Diabetes-130 encounters"),
    "applications-net": Network(build=build_row_network, weights="applications_net.safetensors", task="table",
                                description="Perceptron of two hidden layers, synthetic applications: 0 refused, 1 granted"),
    "applications-logistic": Network(
        build=build_row_logistic, weights="applications_logistic.safetensors", task="table", kind="classical",
        description="Logistic regression on the fields, synthetic applications"),
    "commands-res8": Network(build=res8.build, weights="commands_res8.safetensors", task="sound", rate=16_000,
                             description="res8 (Tang and Lin 2018) with 24 maps, trained on synthetic spoken commands"),
    "commands-ctc": Network(build=build_spelled, weights="commands_ctc.safetensors", task="sound", rate=16_000,
                            description="Network that spells (CTC), trained on synthetic spoken commands, ten words"),
    "commands-cepstra": Network(build=build_cepstra_regression, weights="commands_cepstra.safetensors", task="sound",
                                kind="classical", rate=16_000,
                                description="Logistic regression on mel cepstra, synthetic spoken commands"),
    "commands-dtw": Network(build=build_nearest_template, weights="commands_dtw.safetensors", task="sound",
                            kind="classical", rate=16_000,
                            description="Nearest of sixty templates by dynamic time warping, synthetic spoken commands"),
    "voices-res8": Network(build=build_voice_net, weights="voices_res8.safetensors", task="verification", rate=16_000,
                           description="Verification of a synthetic voice by a res8's embedding: 1 the enrolled person"),
    "voices-cepstra": Network(build=build_cepstral, weights="voices_cepstra.safetensors", task="verification", rate=16_000,
                              kind="classical", description="The same by discriminant analysis of cepstral statistics"),
    "res8": Network(build=lambda state: res8.Res8(), weights="", task="sound", from_author=res8.from_author, rate=16_000,
                    description="res8 (Tang and Lin 2018), the authors' weights: ten commands, silence, unknown"),
    **{f"signs-{name}": Network(build=_sign(family), weights=family.weights(name), task="classification",
                                description=f"{name} in small, trained on traffic signs 32×32 ({family.source})")
       for name, family in FAMILIES.items()},
}
