"""A spec, turned into a frozen classifier: logits for RGB images in [0, 1]; never knows benchmarks.

`spec` reads what users type, `catalog` holds the paper's classifiers, `weights` reads and checks files, `loading` puts
them together, `classifier` is what comes out. Reading a spec and naming what it stands for need no torch.
"""
