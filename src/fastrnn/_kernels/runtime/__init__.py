"""The processor and its instruction sets, threads, groups of threads, memory."""
