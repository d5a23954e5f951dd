"""python -m edgebig"""

from edgebig.cli import main

main()
