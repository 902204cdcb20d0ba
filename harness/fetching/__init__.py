"""Published data and weights: downloaded, checked, unpacked and verified; knows classifiers by name alone.

`table` says where each file is published and what its checksum is, and how the folders of each benchmark are laid out.
`download` gets one file, `unpack` turns one archive into folders, `fetch` does both for a name and leaves nothing half
done, `verify` says of a folder what is right, what is wrong and what can't be checked.
"""
