"""The autoencoder's networks are those of Bergmann et al. 2018, at every size."""

import pytest
import torch
from torch import nn

from trainer.networks.autoencoder import HE_GAIN, ConvBlock, ConvDecoder, ConvEncoder


@pytest.mark.parametrize("size", [32, 64, 128])
@pytest.mark.parametrize("channels", [1, 3])
def test_image_to_latent_and_back(size: int, channels: int) -> None:
    """Plain: z and image. Variational: mean and log variance of z, and log variance of each value."""
    x = torch.randn(2, channels, size, size)
    z = ConvEncoder(size, channels, 7, 4, variational=False)(x)
    assert z.shape == (2, 7)
    assert ConvDecoder(size, channels, 7, 4, variance=False)(z).shape == x.shape
    mean, log_variance = ConvEncoder(size, channels, 7, 4, variational=True)(x)
    assert mean.shape == log_variance.shape == (2, 7)
    image, spread = ConvDecoder(size, channels, 7, 4, variance=True)(mean)
    assert image.shape == spread.shape == x.shape


def test_at_128_px_it_is_the_papers_table() -> None:
    """Output maps and sizes, kernel, stride and padding of table 1; the decoder mirrors them."""
    encoder, decoder = ConvEncoder(128, 1, 100, 32, False), ConvDecoder(128, 1, 100, 32, False)
    down, up = torch.zeros(2, 1, 128, 128), torch.zeros(2, 100, 1, 1)
    table, mirror = [], []
    for layer in [*encoder.blocks, encoder.out]:
        conv = layer.conv if isinstance(layer, ConvBlock) else layer
        assert isinstance(conv, nn.Conv2d)
        down = layer(down)
        table.append((down.shape[2], down.shape[1], conv.kernel_size[0], conv.stride[0], conv.padding[0]))
    assert table == [
        (64, 32, 4, 2, 1),
        (32, 32, 4, 2, 1),
        (32, 32, 3, 1, 1),
        (16, 64, 4, 2, 1),
        (16, 64, 3, 1, 1),
        (8, 128, 4, 2, 1),
        (8, 64, 3, 1, 1),
        (8, 32, 3, 1, 1),
        (1, 100, 8, 1, 0),
    ]
    for layer in [*decoder.blocks, decoder.out]:
        up = layer(up)
        mirror.append((up.shape[2], up.shape[1]))
    backwards = [(128, 1), *((size, maps) for size, maps, *_ in table[:-1])]
    assert mirror == backwards[::-1]


@pytest.mark.parametrize("network", [ConvEncoder(64, 3, 16, 16, False), ConvDecoder(64, 3, 16, 16, False)])
def test_every_convolution_starts_with_hes_gain(network: ConvEncoder | ConvDecoder) -> None:
    """N(0, 1) comes out of each with the standard deviation √2 / √(1 + 0.2²), whatever kernel and stride."""
    torch.manual_seed(0)
    for block in network.blocks:
        assert isinstance(block, ConvBlock)
        conv = block.conv
        alone = isinstance(conv, nn.ConvTranspose2d) and conv.stride[0] == 1  # what it sees is one pixel
        h = conv(torch.randn(64, conv.in_channels, *((1, 1) if alone else (12, 12)))).detach()
        edge = 0 if alone else 2
        inner = h[..., edge : h.shape[2] - edge, edge : h.shape[3] - edge]
        assert float(inner.std()) == pytest.approx(HE_GAIN, rel=0.2)


def test_inspected_images_do_not_influence_one_another() -> None:
    """In eval mode the norms use what training recorded: an image gives the same z and image alone and in company."""
    encoder, decoder = ConvEncoder(32, 1, 5, 4, False).double(), ConvDecoder(32, 1, 5, 4, False).double()
    for _ in range(3):
        decoder(encoder(torch.randn(8, 1, 32, 32).double() + 1))
    encoder.eval(), decoder.eval()
    x = torch.randn(4, 1, 32, 32).double()
    torch.testing.assert_close(decoder(encoder(x))[1:2], decoder(encoder(x[1:2])))


def test_log_variance_stays_in_its_range_and_keeps_a_gradient_near_the_edge() -> None:
    """Whatever the last layer says: in [-10, 4], and a value near an edge can leave it."""
    decoder = ConvDecoder(32, 1, 5, 4, variance=True).double().eval()
    nn.init.zeros_(decoder.out.weight)
    for raw, edge in ((-20.0, -10.0), (20.0, 4.0)):
        assert decoder.out.bias is not None
        nn.init.constant_(decoder.out.bias, raw)
        _, log_variance = decoder(torch.zeros(1, 5).double())
        assert float((log_variance.detach() - edge).abs().max()) < 0.1
        assert float(log_variance.detach().min()) >= -10 and float(log_variance.detach().max()) <= 4
        (gradient,) = torch.autograd.grad(log_variance.sum(), decoder.out.bias)
        assert float(gradient[1]) > 0
