"""ONNX: its recurrent operators on fastrnn's kernels, and fastrnn's layers in ONNX files.

Only `files` and `fastrnn.convert.onnx_backend` import the onnx package.
"""
