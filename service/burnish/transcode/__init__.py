"""Craft: transfer syntaxes: conversion, compression and icons.

convert            one file into another transfer syntax; the entry into this package
transfer_syntaxes  which transfer syntaxes an instance may have on media
uncompressed       conversion to Explicit VR Little Endian
lossless, lossy    compression of images, without and with loss
frames             decodes the frames of an image
decoding           decodes all frames of an image, to see whether that is possible
icons              icons for Icon Image Sequence
jpeg_lossless, jpeg_lossy, jpeg_huffman   JPEG encoders, and their common part
"""
