"""`python -m sofdata` is the command `sofdata`."""

from sofdata.cli import main

main()
