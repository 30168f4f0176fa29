import json
import sys

from dcfgrpc.api import dcf

data = {"a": "0", "b": "1"}
address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:32222"
print(dcf(url=address, service="json", arg=json.dumps(data).encode()))
