"""Craft: the header index: the values of an instance that planning and the DICOMDIR need.

header      reads the header from a data set, once; the entry into this package
scan        finds the values in the bytes of the data set
inflated    reads a deflated data set
pixel_data  whether an image has the pixel data that its header announces
codestreams whether encapsulated Pixel Data has its frames, by their headers and ends
equality    whether two files hold equal data, however they are encoded
"""
