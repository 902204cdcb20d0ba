"""Who does the measuring: `measuring` finds what a store lacks, an engine computes it, here or on a cluster."""
