"""ONNX: its recurrent operators on our kernels, and our layers in its files.

Only `files` and `fastrnn.convert.onnx_backend` import the onnx package.
"""
