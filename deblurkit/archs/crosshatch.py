"""The crosshatch-attention generator (Aslam et al. 2024) and its attention."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from deblurkit.archs.blocks import (
    AFFINE_NORMS,
    ReflectedResBlock,
    decoder_layers,
    doubling,
    encoder_layers,
    enlarging,
    normalized,
    reflected,
    require_divisible,
    require_one_of,
)
from deblurkit.contracts import ReceptiveField
from deblurkit.inner_outputs import InnerOutput, Pixel, Ref
from deblurkit.registry import ARCHS
from deblurkit.weight_init import init_normal


class CrosshatchAttention(nn.Module):
    """Each pixel attends to its row, on its own to its column, and the sum of both is added to it.

    With 1x1 convolutions Q and K of ``channels / reduction`` channels and V of ``channels``::

        weights_h[y, x, x'] = softmax over x' of Q[y, x] . K[y, x']
        weights_v[x, y, y'] = softmax over y' of Q[y, x] . K[y', x]
        output = features + gamma (sum_x' weights_h V[y, x'] + sum_y' weights_v V[y', x]),  gamma = 0 at first

    These are two softmaxes, each over a line that includes the pixel itself. CCNet, which inspired it, takes one
    softmax over row and column together, counts the pixel once and is applied twice; the two are not interchangeable.

    Computed as ``V(row mean) + V(column mean)``, with V after the weighted means of the features, not before: weights
    that sum to one commute with a 1x1 convolution and its bias. The result and the number of MACs are the same, and
    no map of V need be kept. The softmax runs in fp32 under autocast.

    Memory: lines are taken in chunks of at most ``chunk_bytes`` (one line at least), in the backward pass too, which
    computes the weights of a chunk anew; where those of all lines fit into one chunk they are kept. What comes on top
    of input and output is Q, K and one chunk; in training besides the sum of both means, and the gradients of all
    these. Only an exported or compiled graph holds the weights of all lines at once, ``4 n h w (h + w)`` bytes: 110 MiB
    for the 180x320 features of a 720x1280 image.

    Args:
        channels: Width of the features.
        reduction: Q and K have ``channels / reduction`` channels.
        scale_logits: Divide Q . K by the root of its number of channels. The paper, as CCNet, names no scale.

    Attributes:
        chunk_bytes: Bound on the temporary tensors of one chunk, in bytes of fp32.

    Shape:
        ``(n, channels, h, w)`` to the same; any size.

    Raises:
        ValueError: ``reduction`` does not divide ``channels``.

    Reference:
        Aslam, Shaukat, Azam: Dynamic Image Deblurring Based on Crosshatch Attention Adversarial Network and Hybrid
        Loss, EasyChair preprint 2024, section 3.1. That V keeps its channels, ``reduction`` 8 and gamma's start are
        our reading, after Huang et al.: CCNet, ICCV 2019.
    """

    def __init__(self, channels: int, reduction: int = 8, scale_logits: bool = False) -> None:
        super().__init__()
        if channels < 1 or reduction < 1 or channels % reduction:
            raise ValueError(f"reduction must divide the {channels} channels, got {reduction}")
        self.query = nn.Conv2d(channels, channels // reduction, 1)
        self.key = nn.Conv2d(channels, channels // reduction, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(()))
        self.scale = (channels // reduction) ** -0.5 if scale_logits else 1.0
        self.chunk_bytes = 64 * 2**20

    def forward(self, features: Tensor) -> Tensor:
        query, key = self.scale * self.query(features), self.key(features)
        n, _, height, width = features.shape
        # In a graph that is traced a loop over chunks would stay as long as the example's image made it. Elsewhere too
        # weights that fit into one chunk are computed at once, and kept for a backward pass.
        if torch.compiler.is_compiling() or 4 * n * height * width * (height + width) <= self.chunk_bytes:
            return self._added(features, _cross_means(query, key, features.to(query.dtype)))
        if torch.is_grad_enabled():
            return self._added(features, _ChunkedMeans.apply(query, key, features, self.chunk_bytes))
        means = _chunked_means(query, key, features, self.chunk_bytes)
        total = means if means.dtype == features.dtype else torch.empty_like(features)
        for row in _chunks(total[0].permute(_ROWS), 0, self.chunk_bytes):
            for image in range(n):  # the sum of both means gives way to the result
                part = (slice(image, image + 1), slice(None), row)
                half = means[part].div_(2)
                torch.addcmul(features[part], 2 * self.gamma, self.value(half), out=total[part])
        return total

    def _added(self, features: Tensor, means: Tensor) -> Tensor:
        """Returns ``features + gamma (V(row mean) + V(column mean))``, given the sum of both means."""
        # V is affine, not linear: V(a) + V(b) = 2 V((a + b) / 2) has its bias twice, V(a + b) would have it once
        return torch.addcmul(features, 2 * self.gamma, self.value(means / 2))


_ROWS, _COLUMNS = (1, 0, 2), (2, 0, 1)
"""Orders of an image's axes ``(c, h, w)`` by which its lines come first: ``(lines, c, length)``."""


def _cross_means(query: Tensor, key: Tensor, features: Tensor) -> Tensor:
    """Returns each pixel's mean of its row plus that of its column under softmax weights; (n, c, h, w) to the same."""
    n, _, height, width = query.shape
    # one matrix (w, c) for each row; by columns the same channels lie together, which needs no second copy of features
    by_row = [x.permute(0, 2, 3, 1).contiguous() for x in (query, key, features)]
    queries, keys, values = (x.flatten(0, 1) for x in by_row)
    rows = torch.bmm(_weights(queries.mT, keys.mT).to(values.dtype), values).unflatten(0, (n, height))
    queries, keys, values = (x.transpose(1, 2).flatten(0, 1) for x in by_row)
    weights = _weights(queries.contiguous().mT, keys.contiguous().mT).to(values.dtype)
    columns = torch.bmm(weights, values).unflatten(0, (n, width))
    return (rows + columns.transpose(1, 2)).permute(0, 3, 1, 2)


def _line_means(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Returns each pixel's mean of its line under softmax weights; ``(lines, c, length)`` to the same."""
    return torch.bmm(values, _weights(queries, keys).to(values.dtype).mT)


def _weights(queries: Tensor, keys: Tensor) -> Tensor:
    """Returns the weights of lines, ``(lines, length, length)``, in fp32 at least."""
    logits = torch.bmm(queries.mT, keys)
    # half precision would round the many small weights of a long line to sums other than one
    return torch.softmax(logits, -1, dtype=torch.promote_types(logits.dtype, torch.float32))


def _chunks(lines: Tensor, reduced: int, chunk_bytes: int) -> Iterator[slice]:
    """Yields slices of an image's lines ``(lines, c, length)``, each of no more than ``chunk_bytes`` in fp32."""
    count, channels, length = lines.shape
    # of one line: logits and weights, or their gradients; features and means; queries and keys
    line_bytes = 4 * length * (3 * length + 3 * channels + 2 * reduced)
    step = max(1, chunk_bytes // line_bytes)
    return (slice(start, start + step) for start in range(0, count, step))


def _matrices(lines: Tensor, dtype: torch.dtype) -> Tensor:
    """Returns lines as matrix products take them all at once: without gaps, one row or one column after the other."""
    lines = lines.to(dtype)
    return lines if lines.mT.is_contiguous() else lines.contiguous()


def _chunked_means(query: Tensor, key: Tensor, features: Tensor, chunk_bytes: int) -> Tensor:
    """Returns what :func:`_cross_means` does, a few lines at a time."""
    total = torch.empty_like(features, dtype=query.dtype)
    for image in range(len(total)):
        for order in (_ROWS, _COLUMNS):
            queries, keys, values, sums = (x[image].permute(order) for x in (query, key, features, total))
            for chunk in _chunks(values, queries.shape[1], chunk_bytes):
                parts = (_matrices(x[chunk], query.dtype) for x in (queries, keys, values))
                means = _line_means(*parts)
                if order == _ROWS:
                    sums[chunk] = means
                else:
                    sums[chunk] += means
    return total


class _ChunkedMeans(torch.autograd.Function):
    """Chunked means whose backward pass keeps no weights: it computes those of each chunk again."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, features: Tensor, chunk_bytes: int) -> Tensor:
        ctx.save_for_backward(query, key, features)
        ctx.chunk_bytes = chunk_bytes
        return _chunked_means(query, key, features, chunk_bytes)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        query, key, features = ctx.saved_tensors
        if torch.is_grad_enabled():  # the gradient is to be differentiated itself
            means = _cross_means(query, key, features.to(query.dtype))
            return *torch.autograd.grad(means, (query, key, features), gradient, create_graph=True), None
        found = [torch.zeros_like(x) for x in (query, key, features)]
        for image in range(len(query)):
            for order in (_ROWS, _COLUMNS):
                lines = [x[image].permute(order) for x in (query, key, features, gradient, *found)]
                for chunk in _chunks(lines[2], lines[0].shape[1], ctx.chunk_bytes):
                    _add_gradients(*(x[chunk] for x in lines))
        return *found, None


def _add_gradients(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    gradients: Tensor,
    of_queries: Tensor,
    of_keys: Tensor,
    of_values: Tensor,
) -> None:
    """Adds to the last three what lines of the means' gradient ``gradients`` say of the first three."""
    dtype = queries.dtype
    queries, keys, values, gradients = (_matrices(x, dtype) for x in (queries, keys, values, gradients))
    weights = _weights(queries, keys)
    of_values += torch.bmm(gradients, weights.to(dtype))
    of_weights = torch.bmm(gradients.mT, values).to(weights.dtype)
    # through the softmax, in its precision
    of_weights -= (of_weights * weights).sum(-1, keepdim=True)
    of_logits = of_weights.mul_(weights).to(dtype)
    of_queries += torch.bmm(keys, of_logits.mT)
    of_keys += torch.bmm(queries, of_logits)


class PreActivationResBlock(ReflectedResBlock):
    """The same layers with each norm and ReLU before its convolution, as the paper lists them; the shape is kept.

    Two convolutions: ``x + conv(Dropout(ReLU(norm(conv(ReLU(norm(x)))))))``. One:
    ``x + Dropout(conv(ReLU(norm(x))))``. Dropout stays where it is in DeblurGAN's block, between the convolutions or at
    the end, which is our reading. The names of the weights are those of :class:`ReflectedResBlock`, too.
    """

    def forward(self, features: Tensor) -> Tensor:
        # the parent's layers in another order, so that the names of the weights do not tell the two apart
        pad, conv, norm, relu, dropout, *second = self.body
        branch = conv(pad(relu(norm(features))))
        if not second:
            return features + dropout(branch)
        pad, conv, norm = second
        return features + conv(pad(dropout(relu(norm(branch)))))


def _weights_at(tensors: Sequence[Tensor], pixel: Pixel, scale: float) -> Tensor:
    """Returns what one pixel gives to each of its row and of its column, NaN elsewhere; (n, 1, h, w).

    ``tensors`` are the outputs of the query's and of the key's convolution, ``scale`` that of the logits.
    """
    query, key = tensors
    row, column = pixel.on(*query.shape[2:])
    asked = scale * query[:, :, row, column]
    along_row = torch.einsum("nc,ncx->nx", asked, key[:, :, row]).softmax(-1)
    along_column = torch.einsum("nc,ncy->ny", asked, key[:, :, :, column]).softmax(-1)
    weights = torch.full_like(query[:, :1], torch.nan)
    weights[:, 0, :, column] = along_column
    weights[:, 0, row] = along_row
    # the pixel stands in both lines; the row has just overwritten its weight in the column
    weights[:, 0, row, column] += along_column[:, row]
    return weights


@ARCHS.register_module()
class Crosshatch(nn.Module):
    """DeblurGAN's layout with batch norm, upsampling in place of deconvolution, and crosshatch attention.

    ``restored = clamp(blurred + tanh(network(blurred)), -1, 1)``

    With no arguments: 11,470,916 parameters, and for a 256x256 image 3x256x256, 64x256x256, 128x128x128, 256x64x64,
    nine residual blocks, attention, 128x128x128, 64x256x256, 3x256x256.

    The paper states 64, 256 and 512 filters for the encoder and 256 for the residual blocks, which do not fit
    together; 64, 128 and 256, as in DeblurGAN, are our reading. ``encoder=(64, 256, 512)`` is the literal one, with a
    1x1 convolution down to ``res_channels``; ``res_channels=512, decoder=(256, 64)`` widens the blocks instead.

    Args:
        encoder: Widths of the 7x7 convolution and of each strided 3x3 convolution after it.
        res_channels: Width of the residual blocks; where it is not ``encoder[-1]`` a 1x1 convolution comes before.
        blocks: Number of residual blocks.
        convs_per_block: 2 as in DeblurGAN, our reading; 1 is the paper's list of a block's layers.
        dropout: Probability within a block, active in training mode only.
        attention: ``once`` after the last block (our reading), after ``each`` block, or ``none``.
        reduction: Of the attention's queries and keys.
        scale_logits: See :class:`CrosshatchAttention`.
        decoder: Width after each doubling of the size.
        upsample: ``nearest`` and a 3x3 convolution, with which the paper avoids the checkerboard, or ``deconv``.
        norm: ``batch`` as in the paper, or ``instance`` (affine). At batch size 1, the paper's, both train alike;
            in evaluation batch norm's running statistics take the place of the image's own, ``instance`` has no
            such gap and is what we recommend.
        block_order: ``post`` as in DeblurGAN and the Keras port: convolution, norm, ReLU; our reading. ``pre``: norm,
            ReLU, convolution, in which order the paper lists them; see :class:`PreActivationResBlock`. The weights fit
            both, so a checkpoint does not tell them apart: its options do, and without this key it is ``post``.

    Shape:
        ``(n, 3, h, w)`` in [-1, 1] to the same; h and w divisible by ``2 ** (len(encoder) - 1)``: 4. They
        are at least twice that, and at least 4.

    Raises:
        ValueError: An argument is out of range, or a size is not divisible.

    Reference:
        Aslam, Shaukat, Azam: Dynamic Image Deblurring Based on Crosshatch Attention Adversarial Network and Hybrid
        Loss, EasyChair preprint 2024, section 3 and Figure 1. The skip's arithmetic and the initialisation
        N(0, 0.02) are DeblurGAN's; the paper states neither.
    """

    value_range = (-1.0, 1.0)

    def __init__(
        self,
        encoder: Sequence[int] = (64, 128, 256),
        res_channels: int = 256,
        blocks: int = 9,
        convs_per_block: Literal[1, 2] = 2,
        dropout: float = 0.5,
        attention: Literal["once", "each", "none"] = "once",
        reduction: int = 8,
        scale_logits: bool = False,
        decoder: Sequence[int] = (128, 64),
        upsample: Literal["nearest", "deconv"] = "nearest",
        norm: Literal["batch", "instance"] = "batch",
        block_order: Literal["pre", "post"] = "post",
    ) -> None:
        super().__init__()
        if not encoder or len(decoder) != len(encoder) - 1:
            raise ValueError(f"decoder needs one width fewer than encoder, got {list(encoder)} and {list(decoder)}")
        if min(*encoder, *decoder, res_channels) < 1:
            raise ValueError(f"widths must be at least 1, got {list(encoder)}, {res_channels} and {list(decoder)}")
        if blocks < 0 or not 0 <= dropout < 1:
            raise ValueError(f"needs blocks >= 0 and 0 <= dropout < 1, got {blocks} and {dropout}")
        require_one_of("attention", attention, ("once", "each", "none"))
        require_one_of("upsample", upsample, ("nearest", "deconv"))
        require_one_of("norm", norm, tuple(AFFINE_NORMS))
        require_one_of("block_order", block_order, ("pre", "post"))
        make_norm = AFFINE_NORMS[norm]
        self.size_divisor = 2 ** (len(encoder) - 1)
        # The outer layers mirror three lines of the image, the residual blocks one of the coarsest features.
        self.min_size = max(4, 2 * self.size_divisor)
        down = encoder_layers(encoder, make_norm)
        if encoder[-1] != res_channels:
            down += normalized(nn.Conv2d(encoder[-1], res_channels, 1), make_norm(res_channels))
        self.encoder = nn.Sequential(*down)
        make_block = PreActivationResBlock if block_order == "pre" else ReflectedResBlock
        body: list[nn.Module] = []
        for _ in range(blocks):
            body.append(make_block(res_channels, dropout, make_norm, convs_per_block))
            if attention == "each":
                body.append(CrosshatchAttention(res_channels, reduction, scale_logits))
        if attention == "once":
            body.append(CrosshatchAttention(res_channels, reduction, scale_logits))
        self.body = nn.Sequential(*body)
        # (n, res_channels, h / 4, w / 4) to (n, decoder[-1], h, w), and to the residual
        widths = (res_channels, *decoder)
        ups = decoder_layers(widths, make_norm, doubling if upsample == "deconv" else enlarging)
        self.decoder = nn.Sequential(*ups, *reflected(widths[-1], 3, 7), nn.Tanh())
        self.receptive_field: ReceptiveField | None = None
        if norm == "instance" or any(isinstance(layer, CrosshatchAttention) for layer in body):
            self.receptive_field = "global"
        elif upsample == "nearest" and decoder:
            # The blocks' 3x3 convolutions at the coarsest size, and what encoder and decoder add, measured.
            self.receptive_field = self.size_divisor * (blocks * convs_per_block + 4) + 1
        init_normal(self)

    def forward(self, blurred: Tensor) -> Tensor:
        require_divisible(self, blurred)
        return torch.clamp(blurred + self.decoder(self.body(self.encoder(blurred))), -1.0, 1.0)

    def inner_outputs(self) -> list[InnerOutput]:
        """Returns what the chosen pixel attends to in each attention module: its row and its column."""
        found: list[InnerOutput] = []
        for name, module in self.named_modules():
            if not isinstance(module, CrosshatchAttention):
                continue
            number = len(found) + 1
            words = f"weights of crosshatch attention {number}: how much the chosen pixel takes from each of its row"
            # the module keeps no weights, so those of one pixel are computed again from its queries and keys
            calls = (Ref(f"{name}.query"), Ref(f"{name}.key"))
            make = partial(_weights_at, scale=module.scale)
            found.append(InnerOutput(f"attention{number}", f"{words} and column", calls, make, kind="weights"))
        return found
