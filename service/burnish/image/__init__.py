"""Craft: makes and reads ISO 9660 volume images."""
