#!/bin/bash
# A few of the pairs of `make real`: real.py says what is done with each.
. "$(dirname "$0")/../lib.sh"
exec tests/real/real.py --tap --short
