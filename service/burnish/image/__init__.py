"""Craft: writes and reads volume images; `formats` registers every file system."""
