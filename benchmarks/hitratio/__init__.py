"""Hit-ratio benchmarks: lilcache against an ideal S3-FIFO model."""
