"""The figures of the paper's tables, as printed there, for reports that put ours beside them.

Atli, Szyller, Juuti, Marchal, Asokan: "Extraction of Complex DNN Models: Real Threat or Boogeyman?" Accuracies and rates are
percent, recoveries ratios. Cells are never paired across tables: table 7 has an undefended column of its own, lower than table
2's (CIFAR10 71.1 against 88.2), and table 5's undefended copy of Caltech has 72.7 where table 2 has 72.2; the paper does not say
why.
"""

from collections.abc import Mapping, Sequence

_Table = Mapping[str, Mapping[str, float]]


def _table(columns: str, rows: Mapping[str, Sequence[float]]) -> _Table:
    names = columns.split()
    return {row: dict(zip(names, values, strict=False)) for row, values in rows.items()}


TABLES: Mapping[str, _Table] = {
    "table1": _table(
        "size classes train test",
        {
            "Caltech-RN34": (224, 256, 23703, 6904),
            "CUBS-RN34": (224, 200, 5994, 5794),
            "Diabetic5-RN34": (224, 5, 85108, 21278),
            "GTSRB-RN34": (224, 43, 39209, 12630),
            "GTSRB-5L": (32, 43, 39209, 12630),
            "CIFAR10-RN34": (224, 10, 50000, 10000),
            "CIFAR10-9L": (32, 10, 50000, 10000),
        },
    ),
    "table2": _table(
        "victim surrogate recovery victim_orekondy surrogate_orekondy recovery_orekondy",
        {
            "Caltech-RN34": (74.6, 72.2, 0.97, 78.8, 75.4, 0.96),
            "CUBS-RN34": (77.2, 70.9, 0.91, 76.5, 68.0, 0.89),
            "Diabetic5-RN34": (71.1, 53.5, 0.75, 58.1, 47.7, 0.82),
            "GTSRB-RN34": (98.1, 94.8, 0.97),
            "CIFAR10-RN34": (94.6, 88.2, 0.93),
        },
    ),
    # Detectors of the victim CUBS-RN34.
    "table3": _table(
        "tpr tnr",
        {
            "RN18": (86, 83),
            "RN34": (94, 80),
            "RN18*": (90, 83),
            "RN34*": (95, 82),
            "RN18*LR": (84, 84),
            "RN34*LR": (93, 89),
            "RN101*LR": (93, 93),
            "RN152*LR": (93, 93),
        },
    ),
    # TPR of the paper's RN101*LR with its TNR, then TPR of the baselines at that TNR, then at a TNR of 95 %.
    "table4-imagenet": _table(
        "tpr tnr msp odin mahalanobis msp_at_tnr95 odin_at_tnr95 mahalanobis_at_tnr95",
        {
            "Caltech-RN34": (63, 56, 87, 88, 59, 13, 11, 5),
            "CUBS-RN34": (93, 93, 48, 54, 19, 39, 43, 12),
            "Diabetic5-RN34": (99, 99, 1, 25, 98, 5, 49, 99),
            "GTSRB-RN34": (99, 99, 42, 56, 71, 77, 94, 89),
            "CIFAR10-RN34": (96, 96, 28, 54, 89, 33, 60, 91),
        },
    ),
    "table4-openimages": _table(
        "tpr tnr msp odin mahalanobis msp_at_tnr95 odin_at_tnr95 mahalanobis_at_tnr95",
        {
            "Caltech-RN34": (61, 59, 83, 83, 6, 11, 11, 6),
            "CUBS-RN34": (93, 93, 47, 50, 14, 37, 44, 14),
            "Diabetic5-RN34": (99, 99, 1, 21, 99, 4, 44, 99),
            "GTSRB-RN34": (99, 99, 44, 64, 75, 76, 93, 87),
            "CIFAR10-RN34": (96, 96, 27, 56, 92, 33, 62, 95),
        },
    ),
    # The defence: flagged answers are shuffled.
    "table5": _table(
        "victim surrogate_undefended recovery_undefended surrogate_defended recovery_defended",
        {
            "Caltech-RN34": (74.6, 72.7, 0.97, 29.6, 0.40),
            "CUBS-RN34": (77.2, 70.9, 0.91, 20.1, 0.26),
            "Diabetic5-RN34": (71.1, 53.5, 0.75, 28.0, 0.40),
            "GTSRB-RN34": (98.1, 94.8, 0.97, 18.8, 0.19),
            "CIFAR10-RN34": (94.6, 88.2, 0.93, 2.88, 0.03),
        },
    ),
    "table6": _table(
        "victim surrogate_rn34 recovery_rn34 surrogate_vgg16 recovery_vgg16",
        {
            "GTSRB-RN34": (98.1, 94.8, 0.97, 90.1, 0.92),
            "GTSRB-5L": (91.5, 54.5, 0.59, 56.2, 0.61),
            "CIFAR10-RN34": (94.6, 88.2, 0.93, 82.9, 0.87),
            "CIFAR10-9L": (84.5, 61.4, 0.73, 64.7, 0.76),
        },
    ),
    "table7": _table(
        "victim surrogate_full_vector recovery_full_vector surrogate_label_only recovery_label_only",
        {
            "Caltech-RN34": (74.6, 68.5, 0.92, 41.9, 0.56),
            "CUBS-RN34": (77.2, 54.8, 0.71, 18.0, 0.23),
            "Diabetic5-RN34": (71.1, 59.3, 0.83, 54.7, 0.77),
            "GTSRB-RN34": (98.1, 92.4, 0.94, 91.6, 0.93),
            "CIFAR10-RN34": (94.6, 71.1, 0.75, 53.6, 0.57),
        },
    ),
    # Surrogates that were taught with retina photographs: only the range over victims is printed.
    "section5.3": _table("surrogate_lowest surrogate_highest", {"all": (3.9, 41.9)}),
    # Figure 1 is a pair of histograms without printed figures; its experiment prints ours alone.
    "figure1": {},
    # In-distribution queries: TNR about 50 %, in the text.
    "section5.4": _table("tnr", {"all": (50,)}),
}


def figure(table: str, row: str, column: str) -> float | None:
    """Return what the paper prints in one cell, or None where it prints nothing."""
    return TABLES.get(table, {}).get(row, {}).get(column)
