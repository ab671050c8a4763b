"""make.py DIR FAMILY [field=json ...] [--dtype=F32] [--shards=N] [--unprefixed]: one checkpoint."""
import json
import sys

import checkpoint

directory, family, *rest = sys.argv[1:]
config = dict(getattr(checkpoint, family.upper()))
options = {}
for item in rest:
    name, _, value = item.partition("=")
    if name == "--dtype":
        options["dtype"] = value
    elif name == "--shards":
        options["shards"] = int(value)
    elif name == "--unprefixed":
        options["rename"] = lambda n: n.removeprefix("transformer.").removeprefix("model.")
    else:
        config[name] = json.loads(value)
checkpoint.write(directory, config, **options)
