"""Reports of an answer in forms that others read: a growth chart, FHIR."""
