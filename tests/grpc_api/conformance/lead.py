"""Lead another server's client through the claims, in its environment: `python lead.py mlserver|kserve ADDRESS`; prints JSON."""

import json
import sys

from claims import outcomes

if __name__ == "__main__":
    kind, address = sys.argv[1:]
    if kind == "mlserver":
        import grpc
        from client_mlserver import MlserverClient

        with grpc.insecure_channel(address) as channel:
            print(json.dumps(outcomes(MlserverClient(channel))))
    else:
        from client_kserve import KserveClient

        client = KserveClient(address)
        print(json.dumps(outcomes(client)))
        client.close()
