"""Craft: volume images; `formats` registers what writes them, `reader` what reads them."""
