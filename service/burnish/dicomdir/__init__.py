"""Craft: the DICOMDIR of a File-set (PS3.3 F, PS3.10 8.6).

file_ids      the File ID of each instance
keys          the keys of directory records, from the header of an instance; `key_values` makes
              their values conform to their VR
profile_keys  the keys that Application Profiles require in addition, and their icons
records       one encoded directory record
encoder       the whole DICOMDIR, in one pass
reader        reads a DICOMDIR into its records
appending     adds files to an existing DICOMDIR
"""
