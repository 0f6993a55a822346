"""What a CPU wants done otherwise: attention in blocks, experts one by one, small kernels in fewer passes."""
