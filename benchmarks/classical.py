"""Classical deblurring by one kernel for the whole image, Richardson-Lucy and Wiener, and its blind estimate.

Images are float32 ``(h, w, 3)`` in [0, 1], in the values in which the blur was made: light, or levels where frames were
averaged as stored. Kernels are ``(k, k)``, ``k`` odd, with the sum 1 and their middle where a sharp pixel belongs.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage, signal
from scipy.sparse.linalg import LinearOperator, cg
from skimage import restoration

from deblurkit.data.blur.kernels import convolve

Array = NDArray[np.float32]

DARK = 1e-4  # taken for no light: Richardson-Lucy divides by it, and a Fourier transform's rounding turns its sign
PASSES = 2  # over what lies beyond the border: the first starts from mirror images
STEPS = 20  # of conjugate gradients
SHRINK = 2**-0.5  # of the blind estimate's pyramid, from level to level
COARSEST = 5  # side of the kernel there, in pixels
ROUNDS = 5  # of image and kernel in turn at each level
FLATNESS, LEAST_FLATNESS = 4e-3, 1e-4  # weight of a gradient that is not zero: at first, and at the end
RELAXED = 1e5  # the coupling at which split gradients count as equal to the image's
COUPLING_GROWTH = 2.0
STRONG = 5  # per cent of the pixels whose gradients the kernel is found by
KERNEL_POWER = 2.0  # weight of the kernel's squared norm
FAINT = 0.1  # share of the greatest weight below which a kernel's weight is taken for noise
ISLAND = 0.1  # share of all weight below which a separate part of a kernel is
_DIFFERENCES = (np.array([[1, -1, 0]], np.float32), np.array([[1], [-1], [0]], np.float32))
_LAPLACIAN = np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0]], np.float32)


def richardson_lucy(image: Array, kernel: Array, iterations: int) -> Array:
    """Returns the image that most likely was blurred by ``kernel``, after some iterations from an even grey.

    Source:
        ``skimage.restoration.richardson_lucy``.
    """
    wide, inside = _with_margin(image, 2 * len(kernel))
    for _ in range(PASSES):
        planes = [
            restoration.richardson_lucy(wide[..., channel], kernel, iterations, filter_epsilon=DARK)
            for channel in range(3)
        ]
        restored = np.stack(planes, axis=-1).astype(np.float32)
        # A mirror image of the blurred border is no blurred image of anything, and would ring far into the picture.
        wide = convolve(restored, kernel)
        wide[inside] = image
    return restored[inside]


def wiener(image: Array, kernel: Array, balance: float) -> Array:
    """Returns the image with the least sum of squared error and ``balance`` times squared Laplacian.

    That is the filter of ``skimage.restoration.wiener``, but for the border: that filter takes the image for periodic.
    Here nothing is assumed of the blurred image beyond its border, which takes conjugate gradients that begin with the
    filter's result, and have the filter as preconditioner.

    Source:
        ``scipy.sparse.linalg.cg``.
    """
    wide, inside = _with_margin(image, len(kernel))
    size = wide.shape[:2]
    blur, laplacian = _transfer(kernel, size), _transfer(_LAPLACIAN, size)
    smoothness = balance * np.abs(laplacian) ** 2
    inverse = 1 / (np.abs(blur) ** 2 + smoothness)
    seen = np.zeros(size, np.float32)
    seen[inside] = 1

    def filtered(plane: Array, transfer: Array) -> Array:
        return np.asarray(fft.irfft2(transfer * fft.rfft2(plane.reshape(size)), s=size))

    def normal(plane: Array) -> Array:
        spectrum = fft.rfft2(plane.reshape(size))
        blurred = seen * fft.irfft2(blur * spectrum, s=size)
        return np.asarray(fft.irfft2(np.conj(blur) * fft.rfft2(blurred) + smoothness * spectrum, s=size)).ravel()

    def by_filter(plane: Array) -> Array:
        return filtered(plane, inverse).ravel()

    shape = (seen.size, seen.size)
    equations = LinearOperator(shape, normal, dtype=np.float32)
    preconditioner = LinearOperator(shape, by_filter, dtype=np.float32)
    planes = []
    for channel in range(3):
        start = by_filter(filtered(wide[..., channel], np.conj(blur)))
        right = filtered(seen * wide[..., channel], np.conj(blur)).ravel()
        plane, _ = cg(equations, right, start, rtol=0, maxiter=STEPS, M=preconditioner)
        planes.append(plane.reshape(size)[inside])
    return np.stack(planes, axis=-1)


def _with_margin(image: Array, margin: int) -> tuple[Array, tuple[slice, slice]]:
    """Returns an image with a periodic margin, and where in it the image lies."""
    height, width = image.shape[:2]
    return _periodic(image, margin), (slice(margin, margin + height), slice(margin, margin + width))


def _periodic(image: Array, margin: int) -> Array:
    """Adds a margin at each side in which the mirrored image fades into that of the opposite side, ``(h, w[, c])``."""
    for axis in (0, 1):
        image = np.moveaxis(image, axis, 0)
        wide = np.pad(image, [(margin, margin), *[(0, 0)] * (image.ndim - 1)], mode="symmetric")
        ahead = np.linspace(0.5, 1, margin, dtype=np.float32).reshape(-1, *[1] * (image.ndim - 1))
        left, right = wide[:margin].copy(), wide[-margin:][::-1].copy()
        wide[:margin] = ahead * left + (1 - ahead) * right
        wide[-margin:] = (ahead * right + (1 - ahead) * left)[::-1]
        image = np.moveaxis(wide, 0, axis)
    return np.ascontiguousarray(image)


def blind_kernel(image: Array, side: int) -> Array:
    """Estimates the kernel, ``(side, side)``, of a blur that is alike all over the image.

    From coarse to fine, an image of few edges and a kernel that blurs it to the given one are found in turn. The
    kernel's centre of mass is put in its middle, as a shift of the kernel cannot be told from one of the image.

    Reference:
        Xu, Zheng and Jia: Unnatural L0 Sparse Representation for Natural Image Deblurring, CVPR 2013. The pyramid, the
        weights, and which gradients and weights count as noise are our reading, with plain half-quadratic splitting
        for the paper's family of approximations.
    """
    grey = image.mean(axis=2)
    sides = [side]
    while sides[-1] > COARSEST:
        sides.append(max(COARSEST, int(sides[-1] * SHRINK) // 2 * 2 + 1))
    kernel = np.zeros((COARSEST, COARSEST), np.float32)
    kernel[COARSEST // 2, COARSEST // 2 : COARSEST // 2 + 2] = 0.5
    flatness = FLATNESS
    for level in reversed(sides):
        size = [round(length * level / side) for length in grey.shape[::-1]]
        blurred = _periodic(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), level)
        kernel = _cleaned(cv2.resize(kernel, (level, level), interpolation=cv2.INTER_LINEAR))
        for _ in range(ROUNDS):
            edges = _few_edges(blurred, kernel, flatness)
            kernel = _cleaned(_kernel_between(edges, blurred, level))
            flatness = max(flatness / 1.1, LEAST_FLATNESS)
    return kernel


def similarity(first: Array, second: Array) -> float:
    """Returns the greatest cosine between two kernels over all shifts by whole pixels, 0 to 1.

    Reference:
        Hu and Yang: Good Regions to Deblur, ECCV 2012.
    """
    products = signal.correlate(first.astype(np.float64), second.astype(np.float64), mode="full")
    return float(products.max() / (np.linalg.norm(first) * np.linalg.norm(second)))


def _few_edges(blurred: Array, kernel: Array, flatness: float) -> Array:
    """Returns a grey image ``(h, w)`` of few edges that ``kernel`` blurs to about ``blurred``."""
    size = blurred.shape
    transfer = _transfer(kernel, size)
    steps = [_transfer(step, size) for step in _DIFFERENCES]
    data, power = np.conj(transfer) * fft.rfft2(blurred), np.abs(transfer) ** 2
    bend = np.abs(steps[0]) ** 2 + np.abs(steps[1]) ** 2
    edges, coupling = blurred, 2 * flatness
    while coupling < RELAXED:
        x, y = _gradients(edges)
        kept = x**2 + y**2 >= flatness / coupling
        pulled = np.conj(steps[0]) * fft.rfft2(x * kept) + np.conj(steps[1]) * fft.rfft2(y * kept)
        edges = fft.irfft2((data + coupling * pulled) / (power + coupling * bend), s=size)
        coupling *= COUPLING_GROWTH
    return edges


def _kernel_between(edges: Array, blurred: Array, side: int) -> Array:
    """Returns the kernel ``(side, side)`` that blurs the edges' strong gradients to the blurred image's."""
    x, y = _gradients(edges)
    length = np.hypot(x, y)
    # As many as make the problem well posed, and no more: weak gradients of an estimate are mostly its errors.
    many = min(length.size, STRONG * edges.size // 100 + side * side)
    strong = length >= np.partition(length, -many, axis=None)[-many]
    top, bottom = np.zeros((), np.complex64), np.full((), KERNEL_POWER, np.float32)
    for sharp, soft in zip((x, y), _gradients(blurred), strict=True):
        spectrum = fft.rfft2(sharp * strong)
        top = top + np.conj(spectrum) * fft.rfft2(soft)
        bottom = bottom + np.abs(spectrum) ** 2
    whole = fft.irfft2(top / bottom, s=edges.shape)
    return np.roll(whole, (side // 2, side // 2), axis=(0, 1))[:side, :side]


def _cleaned(kernel: Array) -> Array:
    """Returns a kernel without noise, centred by a shift within the same square."""
    side = len(kernel)
    if kernel.max() <= 0:  # an image without a gradient says nothing of its blur
        kernel = np.zeros((side, side), np.float32)
        kernel[side // 2, side // 2] = 1
    kernel = np.where(kernel < FAINT * kernel.max(), 0, kernel)
    parts, count = ndimage.label(kernel, structure=np.ones((3, 3)))
    for part in range(1, count + 1):
        if kernel[parts == part].sum() < ISLAND * kernel.sum():
            kernel[parts == part] = 0
    middle = np.array(ndimage.center_of_mass(kernel))
    kernel = ndimage.shift(kernel, side // 2 - middle, order=1)
    return (kernel / kernel.sum()).astype(np.float32)


def _gradients(image: Array) -> tuple[Array, Array]:
    """Returns the differences to the next column and to the next row, around the border, ``(h, w)`` each."""
    return np.roll(image, -1, axis=1) - image, np.roll(image, -1, axis=0) - image


def _transfer(kernel: Array, size: tuple[int, ...]) -> NDArray[np.complex64]:
    """Returns the spectrum of a kernel whose middle lies at the first pixel of an image of ``size`` ``(h, w)``."""
    placed = np.zeros(size, np.float32)
    placed[: kernel.shape[0], : kernel.shape[1]] = kernel
    rows, columns = (length // 2 for length in kernel.shape)
    return np.asarray(fft.rfft2(np.roll(placed, (-rows, -columns), axis=(0, 1))))
