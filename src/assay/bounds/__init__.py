"""What can be proved of small networks: layers in exact arithmetic, and bounds of their outputs over a region."""
