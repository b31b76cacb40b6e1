"""Networks that torchvision does not have: EfficientNet-Lite0, and the paper's two small victims."""

from collections.abc import Sequence

from torch import Tensor, nn

# EfficientNet-Lite0: expansion, kernel, stride, channels, blocks. Source: Tan and Le 2019, table 1, as B0 without
# squeeze-and-excitation and with ReLU6.
_LITE0 = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)


class Lite0(nn.Module):
    """EfficientNet-Lite0: (n, 3, h, w) to (n, k) logits. `groups.0`, `.1`, `.2`, `.4` and `.6` end a resolution."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.stem = _normalised(3, 32, kernel=3, stride=2)
        groups, channels = [], 32
        for expansion, kernel, stride, width, n_blocks in _LITE0:
            blocks = [_Inverted(channels, width, expansion, kernel, stride)]
            blocks += [_Inverted(width, width, expansion, kernel, 1) for _ in range(n_blocks - 1)]
            groups.append(nn.Sequential(*blocks))
            channels = width
        self.groups = nn.Sequential(*groups)
        self.head = _normalised(channels, 1280, kernel=1)
        self.classify = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, n_classes))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classify(self.head(self.groups(self.stem(x))).mean(dim=(2, 3)))
        return logits


class _Inverted(nn.Module):
    """Widen, filter each channel, narrow; added to its input where the shapes agree."""

    def __init__(self, channels: int, width: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = channels * expansion
        widen = [_normalised(channels, wide, kernel=1)] if expansion > 1 else []
        filtered = _normalised(wide, wide, kernel=kernel, stride=stride, groups=wide)
        self.layers = nn.Sequential(*widen, filtered, nn.Conv2d(wide, width, 1, bias=False), nn.BatchNorm2d(width, eps=1e-3))
        self.adds = stride == 1 and channels == width

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return x + out if self.adds else out


def _normalised(channels: int, width: int, *, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(channels, width, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(width, eps=1e-3), nn.ReLU6())


class Layered(nn.Module):
    """Convolutions of 3 x 3 in groups, each group ending in max pooling by 2, then one hidden dense layer and the classes.

    The paper names its victims GTSRB-5L and CIFAR10-9L and does not give their layers: 3 convolutions + 2 dense layers, and
    7 + 2, in the usual widening form, are ours. For 32 px, trained from scratch (Atli et al., section 4.1).
    """

    def __init__(self, groups: Sequence[Sequence[int]], hidden: int, n_classes: int) -> None:
        super().__init__()
        channels, made = 3, []
        for widths in groups:
            layers: list[nn.Module] = []
            for width in widths:
                layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
                channels = width
            made.append(nn.Sequential(*layers, nn.MaxPool2d(2)))
        self.groups = nn.Sequential(*made)
        # Pooled to 4 x 4 whatever comes in, so that other sizes than 32 can be asked as well.
        self.classify = nn.Sequential(
            nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(16 * channels, hidden), nn.ReLU(), nn.Linear(hidden, n_classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classify(self.groups(x))
        return logits
