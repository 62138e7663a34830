"""Craft: the header index: the values of an instance that planning and the DICOMDIR need.

header             reads the header from a data set, once; the entry into this package
scan               finds the values in the bytes of the data set
inflated           reads a deflated data set
element_checks     whether the elements of a data set follow each other as they must
pixel_data         whether an image has the pixel data that its header announces
pixel_description  whether the attributes that describe pixels agree
codestreams        whether encapsulated Pixel Data has its frames, by their headers and ends
examination        examines an instance completely, without decoding its frames
instance_faults    what the faults of an instance mean for its media
equality           whether two files hold equal data, however they are encoded
"""
