"""From the bytes of a file to the tensor that the network reads, shared by serving and training.

Read the modules in this order. ``reader`` recognises the format. ``dicom`` or ``raster`` decodes the file.
A DICOM file goes through ``dicom_file`` (parse), ``dicom_layout`` (read the header), ``pixel_data`` (compare
the pixel data with the header), ``transfer_syntaxes`` (choose the decoder) and ``grayscale`` (display).
``tensor`` makes the input of the network.
"""
