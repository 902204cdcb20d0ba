"""Small data and small classifiers made on the spot, with which every number can be known beforehand."""
