"""Compare what Pleura displays with DCMTK and GDCM: ``make proof-dicom``."""
