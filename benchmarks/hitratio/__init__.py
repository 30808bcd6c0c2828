"""Hit-ratio benchmarks: lilcache beside ideal models and beside real servers."""
