#!/bin/bash
# A few moments of two of the programs of `make midway`: midway.py says what is done with each.
. "$(dirname "$0")/../lib.sh"
exec tests/real/midway.py --tap --moments 5 git liblzma
