"""Loss and gradient of one search step without autograd: a station runs this n times for each tile.

    forward   z -> G(z) -> D(G(z)), f(G(z)) -> L'(z)
    backward  ∂L'/∂z by the chain rule, written out layer by layer, from the activations of the forward pass

Folded exactly: the scale of the equalised learning rate into the weights; 3x3 and average (D) into 4x4 stride-2
kernels; the constant minibatch-stddev channel into a bias map. Only the stage of full resolution is here, with
alpha = 1. Runs in float32 and float64; the oracle is `trainer.reference.search.loss_and_gradient`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from export.layers import (
    AveragedConvolution,
    Convolution,
    Dense,
    FromImageConvolution,
    LinearMap,
    LinearMaps,
    ToImageConvolution,
    UpConvolution,
    activate,
    activate_backward,
    normalise,
    normalise_backward,
)
from trainer.data.settings import Flip
from trainer.networks.discriminator import PATCH_HEAD_BLOCKS, Discriminator, DiscriminatorBlock
from trainer.networks.flip_average import average_over_flips
from trainer.networks.generator import Generator, GeneratorBlock
from trainer.networks.layers import FromImage, ToImage

Normalised = tuple[Tensor, Tensor]  # output of pixel norm, and its scale


class FoldedGenerator(nn.Module):
    """The folded generator of the last stage."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.dense = Dense(generator.dense)
        layers: list[LinearMap] = [Convolution.folded(generator.conv)]
        for block in cast("Iterable[GeneratorBlock]", generator.blocks):
            layers += [UpConvolution(block.up_conv), Convolution.folded(block.conv)]
        self.layers = LinearMaps(layers)
        self.to_image = ToImageConvolution(cast("ToImage", generator.to_image[generator.last_stage]))

    def forward(self, z: Tensor) -> Tensor:
        """z [N, L] -> image [N, C, R, R]."""
        return self.image_and_activations(z)[0]

    def image_and_activations(self, z: Tensor) -> tuple[Tensor, list[Normalised]]:
        """The image, and for `backward` output and scale of every pixel norm, the latent's first."""
        activations = [normalise(z)]
        h = self.dense(activations[0][0])
        h = h.view(h.shape[0], -1, 4, 4)
        activations.append(normalise(activate(h)))
        for layer in self.layers:
            activations.append(normalise(activate(layer(activations[-1][0]))))
        return self.to_image(activations[-1][0]), activations

    def backward(self, grad: Tensor, activations: list[Normalised]) -> Tensor:
        """∂/∂image [N, C, R, R] -> ∂/∂z [N, L]."""
        latent, first, *others = activations
        grad = self.to_image.backward(grad)
        for layer, (output, scale) in zip(self.layers.backwards(), reversed(others), strict=True):
            grad = layer.backward(activate_backward(normalise_backward(grad, output, scale), output))
        grad = activate_backward(normalise_backward(grad, *first), first[0])
        return normalise_backward(self.dense.backward(grad.flatten(1)), *latent)


class FoldedDiscriminator(nn.Module):
    """The folded discriminator of the last stage: logit of D(x), features f(x) and, with a patch head, patch logits.

    flips  over which `forward` averages the logits
    """

    def __init__(self, discriminator: Discriminator, flips: Sequence[Flip] = ()) -> None:
        super().__init__()
        self.flips = flips
        layers: list[LinearMap] = [
            FromImageConvolution(cast("FromImage", discriminator.from_image[discriminator.last_stage]))
        ]
        for block in reversed(cast("Sequence[DiscriminatorBlock]", discriminator.blocks)):
            layers += [Convolution.folded(block.conv), AveragedConvolution(block.down_conv)]
        self.layers = LinearMaps([*layers, _without_stddev_channel(discriminator)])
        self.dense = Dense(discriminator.dense)
        self.out = Dense(discriminator.out)
        head = discriminator.patch_head
        self.patch_head = (
            None if head is None else LinearMaps([Convolution.folded(head.conv), Convolution.folded(head.out)])
        )

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """x [N, C, R, R] -> logit [N], features [N, maps, 4, 4]; with a patch head also patch_logits [N, r, r]."""
        return average_over_flips(self._outputs, x, self.flips)

    def _outputs(self, x: Tensor) -> tuple[Tensor, ...]:
        activations = self.activations(x)
        logit = self.logit_and_hidden(activations[-1])[0]
        if self.patch_head is None:
            return logit, activations[-1]
        first, last = self.patch_head
        trunk = activations[2 * PATCH_HEAD_BLOCKS]  # two layers a block
        return logit, activations[-1], last(activate(first(trunk))).squeeze(1)

    def activations(self, x: Tensor) -> list[Tensor]:
        """The activations after each convolution; the last is f(x)."""
        outputs: list[Tensor] = []
        for layer in self.layers:
            outputs.append(activate(layer(outputs[-1] if outputs else x)))
        return outputs

    def logit_and_hidden(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logit [N], and for `logit_backward` the hidden activations [N, maps]."""
        hidden = activate(self.dense(features.flatten(1)))
        return self.out(hidden).squeeze(1), hidden

    def logit_backward(self, grad: Tensor, hidden: Tensor) -> Tensor:
        """∂/∂logit [N] -> ∂/∂features [N, maps, 4, 4]."""
        grad = activate_backward(self.out.backward(grad.unsqueeze(1)), hidden)
        return self.dense.backward(grad).view(grad.shape[0], -1, 4, 4)

    def features_backward(self, grad: Tensor, activations: list[Tensor]) -> Tensor:
        """∂/∂features [N, maps, 4, 4] -> ∂/∂x [N, C, R, R]."""
        for layer, output in zip(self.layers.backwards(), reversed(activations), strict=True):
            grad = layer.backward(activate_backward(grad, output))
        return grad


class SearchStep(nn.Module):
    """L' [N] and ∂L'/∂z [N, L] of each image, from z [N, L], x [N, C, R, R] in [-1, 1] and fx = f(x) [N, maps, 4, 4].

    L' = γ·[(1−λ)·Σ|x−G(z)| + λ·Σ|f(x)−f(G(z))|] + (1−γ)·(1−D(G(z))), γ in (0, 1], λ in [0, 1]. A term with
    weight 0 is not computed, neither forward nor backward. The derivative of |a| at 0 is 0.
    """

    def __init__(self, generator: Generator, discriminator: Discriminator, gamma: float, lam: float) -> None:
        super().__init__()
        if not (0 < gamma <= 1 and 0 <= lam <= 1):
            raise ValueError(f"gamma must be in (0, 1] and lambda in [0, 1], not {gamma} and {lam}")
        self.generator = FoldedGenerator(generator)
        self.discriminator = FoldedDiscriminator(discriminator)
        self.residual_weight = gamma * (1 - lam)
        self.feature_weight = gamma * lam
        self.adversarial_weight = 1 - gamma

    def forward(self, z: Tensor, x: Tensor, fx: Tensor) -> tuple[Tensor, Tensor]:
        """(loss [N], grad_z [N, L])."""
        image, activations = self.generator.image_and_activations(z)
        terms: list[Tensor] = []
        grads: list[Tensor] = []
        if self.residual_weight:
            residual = image - x
            terms.append(self.residual_weight * residual.abs().sum(dim=(1, 2, 3)))
            grads.append(self.residual_weight * residual.sign())
        if self.feature_weight or self.adversarial_weight:
            term, grad = self._through_discriminator(image, fx)
            terms.append(term)
            grads.append(grad)
        return _sum(terms), self.generator.backward(_sum(grads), activations)

    def _through_discriminator(self, image: Tensor, fx: Tensor) -> tuple[Tensor, Tensor]:
        """The sum of the two terms that depend on D, [N], and its ∂/∂image."""
        activations = self.discriminator.activations(image)
        terms: list[Tensor] = []
        grads: list[Tensor] = []
        if self.feature_weight:
            difference = activations[-1] - fx
            terms.append(self.feature_weight * difference.abs().sum(dim=(1, 2, 3)))
            grads.append(self.feature_weight * difference.sign())
        if self.adversarial_weight:
            logit, hidden = self.discriminator.logit_and_hidden(activations[-1])
            p_abnormal = torch.sigmoid(-logit)  # p = 1 − D, without cancellation; its derivative is −p·(1 − p)
            terms.append(self.adversarial_weight * p_abnormal)
            slope = -self.adversarial_weight * p_abnormal * (1 - p_abnormal)
            grads.append(self.discriminator.logit_backward(slope, hidden))
        return _sum(terms), self.discriminator.features_backward(_sum(grads), activations)


def _sum(tensors: list[Tensor]) -> Tensor:
    total = tensors[0]
    for tensor in tensors[1:]:
        total = total + tensor
    return total


def _without_stddev_channel(discriminator: Discriminator) -> Convolution:
    """The last convolution; its constant input channel, with zero padding, becomes a bias map [1, maps, 4, 4]."""
    weight = discriminator.conv.scaled_weight()
    constant = discriminator.stddev_mean.to(weight).expand(1, 1, 4, 4)
    bias = F.conv2d(constant, weight[:, -1:], discriminator.conv.bias, padding=1)
    return Convolution(weight[:, :-1], bias)
