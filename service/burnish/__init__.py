"""Burnish: a networked DICOM media-creation service."""

__version__ = "0.1.0"
