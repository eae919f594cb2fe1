"""Write an answer in forms that others read: DICOM, FHIR and a growth chart.

Each module builds one kind of object from the answer about a picture and, for DICOM, from the
source's header. Nothing here reads files, decodes pixels or measures. DICOM needs the extra
`dicom`.
"""
