"""The benchmarks' own arithmetic and clean-up."""
