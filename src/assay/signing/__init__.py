"""What is signed about a warning label, in which envelope, with which key. Loads no torch; `cryptography` only to sign."""
