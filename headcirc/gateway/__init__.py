"""Receive DICOM images, have them measured, and deliver reports about them; lose nothing.

A listener process writes each image to the disk before it acknowledges it. A worker process
measures and delivers. Both share a queue in SQLite, so that either can be killed at any time. Needs
the extra `dicom`.
"""
