import io
import pickle
import sys

from dcfgrpc.api import dcf

dict_data = {"a": "0", "b": "1"}
f = io.BytesIO()
pickle.dump(dict_data, f)

address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:32222"
print(dcf(url=address, service="pickle", arg=f.getvalue()))
