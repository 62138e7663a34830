"""Craft: volume images.

- `formats`: which module writes the file system of each medium. One module for each:
  `iso9660_writer` (CD), `udf_bridge_writer` (DVD: ISO 9660 and UDF 1.02), `udf_writer` (BD: UDF
  2.60), `fat_writer`, `zip_writer`, `mime_writer`. These lay out the structures; `file_extents`
  lays out the files, in ISO 9660 and UDF alike.
- `reader`: which module reads each file system; `iso9660_reader`, `udf_reader` and so on.
- `volume_size`: how large a volume will be. `directory_tree`: its directories.
- `image_file` writes a layout to disk; `image_digest` and `image_layout` record its bytes, so that
  reading back can compare every one.
"""
