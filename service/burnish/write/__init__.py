"""Stage: pieces of media, from a planned File-set to a verified piece.

worker       the writer of one device: claim, image, write, read back, publish
job          what a claimed piece is, read from its rows
pipeline     one volume from its plan to a verified image; no database
piece_state  what becomes of a piece, written to its rows
labels       the labels of a piece; no database
"""
