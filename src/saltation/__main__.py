"""python -m saltation: the command `saltation`, as torchrun -m saltation starts it too."""

from saltation_start import main

main()
