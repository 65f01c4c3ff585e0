"""The words and codes with which a DICOM header names a part of the body that is not the chest, or a view.

A word or code that is not listed here says nothing: hospitals write their own into these attributes.
"""

import re
from typing import Final

from pydicom.dataset import Dataset

from pleura.radiograph.decimal_strings import read_words


def _split(text: str) -> frozenset[str]:
    return frozenset(text.split())


_CHEST_WORDS: Final = ("CHEST", "THORA", "LUNG", "RIB", "HEART", "MEDIASTIN", "PULMO", "CARDI", "TRUNK")
_OTHER_WORDS: Final = _split(
    """
    ABDOMEN ABDOMENPELVIS ACJOINT ADRENAL ANKLE ANUS ARM BACK BLADDER BRAIN BREAST BUTTOCK CALCANEUS
    CALF CAROTID CEREBELLUM CERVIX CHEEK CLAVICLE COCCYX COLON CSPINE CERVICALSPINE CTSPINE DENTAL
    DUODENUM EAR ELBOW ESOPHAGUS EXTREMITY EYE EYELID FACE FACIALBONES FEMUR FIBULA FINGER FOOT FOREARM
    GALLBLADDER HAND HEAD HEADNECK HIP HIPS HUMERUS IAC ILEUM ILIUM JAW JEJUNUM KIDNEY KNEE LARYNX LEG
    LIVER LOWERARM LOWERLEG LOWERLIMB LSPINE LSSPINE LUMBAR LUMBARSPINE LUMBOSACRAL MANDIBLE MASTOID
    MAXILLA MOUTH NASALBONE NASALBONES NECK NOSE ORBIT OVARY PANCREAS PAROTID PATELLA PELVIS PENIS
    PHARYNX PROSTATE RADIUS RECTUM SACRUM SCALP SCAPULA SCROTUM SHOULDER SINUS SINUSES SIJOINT SKULL
    SPINE SPLEEN SSPINE STERNUM STOMACH TARSAL TEETH TESTIS THIGH THORACICSPINE THORACOLUMBARSPINE THUMB
    THYROID TIBIA TLSPINE TMJ TOE TONGUE TOOTH TSPINE ULNA UPPERARM UPPERLIMB URETER URETHRA UTERUS
    VAGINA WHOLEBODY WRIST ZYGOMA
    """
)
"""Defined terms of DICOM PS3.16 annex L, and words that devices write in their place."""
_OTHER_CODES: Final = _split(
    """
    661005 774007 2095001 4596009 7569003 7844006 13648007 13881006 14742008 14975008 15776009 16953009
    16982005 21306003 22356005 24136001 27949001 28231008 28273000 29707007 29836001 30021000 30315005
    30608006 32849002 34402009 34516001 34707002 38266002 38848004 39723000 40983000 41216001 42575006
    45048000 45289007 51299004 53120007 53505006 53620006 54019009 54735007 55024004 56459004 56873002
    58742003 59066005 61685007 64234005 64688005 66019005 68367000 69536005 69695003 69930009 70258002
    70925003 71341001 71854001 72001000 72696002 74386004 74670003 76505004 76752008 79601000 79741001
    80144004 81745001 85050009 85562004 85856004 87342007 87953007 89546000 89837001 91397008 91609006
    102292000 110517009 110621006 110639002 110861005 122494005 122495006 122496007 303270005 361078006
    363654007 371195002 371398005 421060004 431491007 706342009 816092008 818981001 818982008 1217253001
    1217254007 1217256009 1217257000 1231522001 113345001 12921003 416949008 R-FE0C7 T-04000 T-11011
    T-11100 T-11102 T-11133 T-11149 T-11166 T-11170 T-11180 T-11196 T-11210 T-11501 T-11502 T-11503
    T-11AD0 T-11BF0 T-12280 T-12310 T-12340 T-12410 T-12700 T-12710 T-12730 T-12750 T-12770 T-12980
    T-13600 T-14668 T-15290 T-15420 T-15430 T-15460 T-15610 T-15680 T-15710 T-15750 T-15770 T-22000
    T-24100 T-50007 T-56000 T-57000 T-58000 T-58200 T-58400 T-58600 T-59000 T-59300 T-59600 T-59900
    T-60600 T-60610 T-61100 T-61300 T-63000 T-64500 T-65000 T-65010 T-65600 T-7000B T-73000 T-74000
    T-75000 T-88920 T-92000 T-AA000 T-AB959 T-D0010 T-D0300 T-D04FF T-D0801 T-D0821 T-D1000 T-D1100
    T-D1213 T-D1460 T-D14AE T-D1600 T-D2220 T-D2500 T-D4000 T-D6000 T-D8000 T-D8200 T-D8500 T-D8700
    T-D8800 T-D8810 T-D9000 T-D9100 T-D9200 T-D9400 T-D9700 T-D9800 T-DD163 R-FAB57
    """
)
"""SNOMED CT and SNOMED RT codes of DICOM PS3.16 CID 4009, without the regions that include the chest."""
_OTHER_VIEWS: Final = _split(
    """
    LL RL LLD RLD LLO RLO LAO RAO LPO RPO LAT LATERAL LLAT RLAT LATERALVIEW OBL OBLIQUE DECUB DECUBITUS
    CC MLO ML LM LMO FB SIO XCCL XCCM AX AXIAL SWIMMERS
    """
)
"""Defined terms of View Position that are not frontal, and words that devices write in their place."""
_OTHER_VIEW_CODES: Final = _split(
    """
    30730003 119376003 260426006 260427002 260499007 399004004 399006002 399038007 399059000 399061009
    399067008 399071006 399099002 399110001 399132005 399135007 399160007 399162004 399173006 399182000
    399184004 399196006 399198007 399225005 399236003 399242004 399255003 399260004 399272005 399288005
    399312000 399316002 399325008 399335002 399351005 399352003 399356000 399360002 399368009 G-8300
    G-A145 R-10204 R-10208 R-10210 R-10212 R-10216 R-10220 R-10224 R-10226 R-10228 R-10230 R-10232
    R-10234 R-10236 R-10238 R-10241 R-10242 R-10244 R-10246 R-10248 R-10250 R-10252 R-10254 R-10256
    R-10257 R-102C1 R-102C2 R-102C3 R-102C4 R-102C5 R-102C6 R-102C7 R-102C8 R-102CD R-40782 R-40783
    R-40810 R-40985
    """
)
"""SNOMED codes of DICOM PS3.16 CID 4010, without the frontal views."""
_OTHER_VIEW_MODIFIER_CODES: Final = _OTHER_VIEW_CODES | _split(
    """
    111069 118438002 272466003 272476000 278318001 G-D00B R-4087B R-40885 R-40554
    """
)
"""Codes of DICOM PS3.16 CID 4011: cross-table, angled, and through another part of the body."""
_DECUBITUS_CODES: Final = _split("32185000 102535000 102536004 F-10318 F-10317 F-10319")
"""SNOMED codes of DICOM PS3.16 CID 20: the patient lies on a side. Lordotic films are frontal."""
_DECUBITUS_POSITIONS: Final = _split("HFDR HFDL FFDR FFDL AFDR AFDL PFDR PFDL")
"""Defined terms of Patient Position: the patient lies on a side."""
_SEPARATORS: Final = re.compile(r"[^A-Z]+")
_SIDES: Final = frozenset({"LEFT", "RIGHT", "BILATERAL", "BOTH", "L", "R"})


def names_other_part(dataset: Dataset) -> bool:
    """Say whether the header names a part of the body that does not include the chest.

    Source:
        DICOM PS3.3 C.7.1.1 and PS3.16 annex L (Body Part Examined), CID 4009 (Anatomic Region Sequence).
    """
    words = read_words(dataset, "BodyPartExamined")
    if words and all(_is_other_part(word) for word in words):
        return True
    codes = _read_codes(dataset, "AnatomicRegionSequence")
    return bool(codes) and codes <= _OTHER_CODES


def names_other_view(dataset: Dataset) -> bool:
    """Say whether the header names a view that is not frontal.

    Source:
        DICOM PS3.3 C.8.1.2 and C.8.11.5 (View Position), C.8.11.5.1 and PS3.16 CID 4010 (View Code Sequence)
        and CID 4011 (its modifiers).
    """
    words = {word for text in read_words(dataset, "ViewPosition") for word in _SEPARATORS.split(text)}
    modifiers = _read_modifiers(dataset, "ViewCodeSequence", "ViewModifierCodeSequence")
    return bool(
        words & _OTHER_VIEWS
        or _read_codes(dataset, "ViewCodeSequence") & _OTHER_VIEW_CODES
        or modifiers & (_OTHER_VIEW_MODIFIER_CODES | _DECUBITUS_CODES)
    )


def names_decubitus(dataset: Dataset) -> bool:
    """Say whether the header says that the patient lies on a side.

    Source:
        DICOM PS3.3 C.7.3.1.1.2 (Patient Position), C.8.11.5 and PS3.16 CID 20 (modifiers of Patient
        Orientation Code Sequence).
    """
    modifiers = _read_modifiers(
        dataset, "PatientOrientationCodeSequence", "PatientOrientationModifierCodeSequence"
    )
    positions = {"".join(word.split()) for word in read_words(dataset, "PatientPosition")}
    return bool(positions & _DECUBITUS_POSITIONS or modifiers & _DECUBITUS_CODES)


def _is_other_part(text: str) -> bool:
    words = [word for word in _SEPARATORS.split(text) if word and word not in _SIDES]
    if "".join(words) in _OTHER_WORDS:
        return True
    if any(part in word for word in words for part in _CHEST_WORDS):
        return False
    return any(word in _OTHER_WORDS for word in words)


def _read_modifiers(dataset: Dataset, keyword: str, modifier: str) -> frozenset[str]:
    """Read the codes that modify the items of a code sequence."""
    items = dataset.get(keyword) or ()
    return frozenset(code for item in items for code in _read_codes(item, modifier))


def _read_codes(dataset: Dataset, keyword: str) -> frozenset[str]:
    codes = (str(item.get("CodeValue", "")).strip() for item in dataset.get(keyword) or ())
    return frozenset(code for code in codes if code)
