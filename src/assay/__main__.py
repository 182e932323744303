"""`python -m assay`: the command line, where the script `assay` is not on the path."""

from assay.cli import main

if __name__ == "__main__":
    main()
