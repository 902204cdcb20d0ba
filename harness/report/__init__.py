"""The report: one page that shows what holds, what does not, what is not known, and how it compares with the paper.

Knows verdicts, studies and what they rest on; measures nothing. `evidence` reads what tables and pictures are made of,
`tables`, `charts` and `pictures` make them, `board` lays verdicts out, `page` writes it all. torch is not needed.
"""
