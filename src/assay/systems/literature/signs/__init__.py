"""Six small traffic-sign classifiers, one for each family of the universal-perturbation experiments.

Moosavi-Dezfooli, Fawzi, Fawzi and Frossard, "Universal adversarial perturbations" (CVPR 2017), table 1, compares
CaffeNet, VGG-F, VGG-16, VGG-19, GoogLeNet and ResNet-152 on ImageNet. Here each keeps its topology at reduced width, for
32×32 colour images of the 43 signs of GTSRB; what was reduced is stated beside each. `recipes/signs.py` trains them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from assay.arrays import InputError
from assay.systems.literature.signs.caffenet import caffenet
from assay.systems.literature.signs.googlenet import googlenet
from assay.systems.literature.signs.network import SignNetwork
from assay.systems.literature.signs.resnet import resnet_152
from assay.systems.literature.signs.vgg import vgg_16, vgg_19
from assay.systems.literature.signs.vgg_f import vgg_f


@dataclass(frozen=True, kw_only=True)
class Family:
    """A published network and what its small version leaves out. `weights` lies in `literature/weights`."""

    build: Callable[[], SignNetwork]
    source: str
    reduced: str

    def weights(self, name: str) -> str:
        return f"signs/{name}.safetensors"


FAMILIES: dict[str, Family] = {
    "caffenet": Family(
        build=caffenet,
        source="Jia et al., Caffe (2014), after Krizhevsky, Sutskever and Hinton (2012)",
        reduced="widths 96-256-384-384-256-4096-4096 to 32-64-96-96-64-384-384; first filter 11×11 stride 4 to 5×5 "
                "stride 1; depth kept"),
    "vgg-f": Family(
        build=vgg_f,
        source="Chatfield, Simonyan, Vedaldi and Zisserman, Return of the Devil in the Details (2014), CNN-F",
        reduced="widths 64-256-256-256-256-4096-4096 to 32-64-96-96-96-384-384; first filter 11×11 stride 4 to 5×5 "
                "stride 1; depth kept"),
    "vgg-16": Family(
        build=vgg_16,
        source="Simonyan and Zisserman, Very Deep Convolutional Networks (2015), configuration D",
        reduced="widths 64-128-256-512-512-4096-4096 to 16-32-64-96-96-192-192; depth kept"),
    "vgg-19": Family(
        build=vgg_19,
        source="Simonyan and Zisserman, Very Deep Convolutional Networks (2015), configuration E",
        reduced="widths 64-128-256-512-512-4096-4096 to 16-32-64-96-96-192-192; depth kept"),
    "googlenet": Family(
        build=googlenet,
        source="Szegedy et al., Going Deeper with Convolutions (CVPR 2015), table 1",
        reduced="every width to a quarter; first filter 7×7 stride 2 to 5×5 stride 1; no auxiliary classifiers; depth kept"),
    "resnet-152": Family(
        build=resnet_152,
        source="He, Zhang, Ren and Sun, Deep Residual Learning (CVPR 2016), table 1",
        reduced="3-8-36-3 bottleneck blocks to 1-2-9-1 (152 weighted layers to 41); every width to a quarter; first filter "
                "7×7 stride 2 to 5×5 stride 1"),
}


def build(name: str) -> SignNetwork:
    """The untrained network of that family, or `InputError` listing the families.

    >>> build("vgg-16").classifier[-1].out_features
    43
    """
    if name not in FAMILIES:
        raise InputError(f"unknown sign network {name!r}; known: {', '.join(FAMILIES)}")
    return FAMILIES[name].build()
