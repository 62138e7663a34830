"""Craft: files on a volume that people read without a DICOM viewer.

readme_txt            README.TXT
patients_and_studies  the patients, studies and institutions of a volume, for README.TXT and labels
"""
