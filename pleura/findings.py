"""The findings that Pleura reads, in the order of every tensor that holds one value per finding."""

FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
)
"""The fourteen findings of ChestX-ray14.

Source:
    Wang et al., "ChestX-ray8", CVPR 2017; the order of the NIH data release.
"""
