"""A run, from checked inputs to outcomes: its folders, whose results they hold, what is fetched, stopping, who is told.

`run` puts them together. What a run does with each stream is `clipstream.dataflow`, on live streams `clipstream.live`.
"""
