"""Write a result as DICOM: structured reports, a segmentation and a captioned picture.

Each module builds one kind of object from the source's header and the answer about its picture.
Nothing here reads files, decodes pixels or measures. Needs the extra `dicom`.
"""
