"""Offline: planning, writing and reading volumes without a database, for the command line.

disc_build      `burnish disc build`: volume images from DICOM files
disc_append     `burnish disc append`: a further session on a disc that was left open
disc_burn       `burnish disc burn`: one volume image onto one disc
disc_label      `burnish disc label`: what the label of an existing volume says
instance_store  the instances among the files given, in a temporary folder
"""
