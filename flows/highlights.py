"""Files to clips, as a flow to run or to copy.

    CLIPSTREAM_INPUTS="a.mp4:b.mp4" CLIPSTREAM_OUT=highlights python -m bytewax.run flows.highlights

Options come from `CLIPSTREAM_…` variables, as on the command line. Add `-w 2` for two workers, or `-i 0 -a host1:2101
-a host2:2101` and so on for a cluster whose hosts see the same files; the cluster's port carries pickles without
authentication and belongs on a private network.
"""

import os

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from clipstream import ClipSink, MediaSource, Settings, expand_inputs, highlights

settings = Settings.from_environment(os.environ)
inputs, problems = expand_inputs(os.environ.get("CLIPSTREAM_INPUTS", "").split(os.pathsep))
if problems:
    raise problems[0]

flow = Dataflow("highlights")
slices = op.input("media", flow, MediaSource(inputs, settings))
found = highlights("highlights", slices, settings)
op.output("clips", found.results, ClipSink(inputs, settings))
