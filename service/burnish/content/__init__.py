"""Craft: files on a volume that people read without a DICOM viewer.

readme_txt            README.TXT
patients_and_studies  the patients, studies and institutions of a volume, for README.TXT and labels
rendition             makes pictures and documents of one instance, once, as a file of the cache
model                 what is shown of an instance, as values; `instance_reader` reads them from it
documents             reports, waveforms, encapsulated files and videos, as people read them
render                frames as pictures; `frame_display` says how a frame is to be displayed
terms_record          what a disc holds for people, as a record in its INDEX.HTM
xhtml_text            text that is safe within pages and drawings
volume_files          files of a volume that are not DICOM files, and the blobs they consist of
pixel_packs           true pixel values as scripts that a browser loads from a disc
viewer_description    what the viewer has to know of an image
viewer_objects        presentation states, structure sets, segmentations, key objects for the viewer
viewer_data           DATA.JS: what the viewer shows of a volume
viewer                the viewer itself: VIEWER.HTM, VIEWER.CSS and VIEWER.JS
"""
