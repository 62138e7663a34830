"""Surface: the DICOM Conformance Statement (PS3.2) of Burnish as it is configured.

The text is in `text/`, beside the tables that it describes; the tables are made from those that the
service runs on. `statement` puts a statement together; `markdown`, `html` and `pdf` write it.
"""
