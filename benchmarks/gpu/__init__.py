"""Measurements on an NVIDIA GPU of compute capability 9.0, to hold the designs ``h100`` and ``h200`` to.

``python3 -m benchmarks.gpu.measure FOLDER`` needs PyTorch, NumPy and nvcc, and nothing of Olivine.
"""
