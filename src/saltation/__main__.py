"""python -m saltation: the command `saltation`, as torchrun -m saltation starts it too."""

import sys

from saltation_start import main

sys.exit(main())
