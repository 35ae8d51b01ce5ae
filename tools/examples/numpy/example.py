# SPDX-License-Identifier: Apache-2.0
"""python3 example.py ./m.so m: attacks a few random images, checks the attack's promise."""
import ctypes
import sys

import numpy as np

from adjoint_numpy import run

library, prefix = ctypes.CDLL(sys.argv[1]), sys.argv[2]
x = np.random.default_rng(0).random((5, 1, 28, 28), np.float32)
y = run(library, prefix, "forward", x=x)["logits"].argmax(1)
out = run(library, prefix, "pgd-linf", x=x, y=y)
after = run(library, prefix, "forward", x=out["adv"])["logits"].argmax(1)
print("classes before", y, "after", after, "success", out["success"])
assert np.abs(out["adv"] - x).max() <= 8 / 255 + 1e-6
assert ((after != y) == (out["success"] != 0)).all()
