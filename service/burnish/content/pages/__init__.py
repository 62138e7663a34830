"""Craft: pages of a volume for any browser: XHTML 1.0 Strict and CSS, without scripts.

xhtml          the frame of a page, and text that is safe within it
front          INDEX.HTM: what is on the volume, for people
album          IHE_PDI: the examinations, series, pictures and documents
document_body  the body of a document, in the language and with the links of a volume
"""
