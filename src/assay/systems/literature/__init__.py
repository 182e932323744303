"""Networks of the literature, inference only: one file each, with source and checksum of the weights."""
