"""What was seen, image by image: written once, atomically, and found again by what produced it.

`schema` says what a record holds, `store` keeps records as checksummed Parquet chunks. Knows no torch.
"""
