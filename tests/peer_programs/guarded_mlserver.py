"""MLServer with the guard inside: `guarded_mlserver.py BUNDLE POLICY [SECRET]` serves the repository where it runs.

MLServer makes its gRPC server itself and lets nobody add an interceptor, so the guard is there before MLServer is imported.
"""

import sys
from pathlib import Path

from grpc_api.inside import GuardedModel, guard_every_server
from guard.bundle import load_bundle
from guard.guard import Guard
from guard.secret import Secret

if __name__ == "__main__":
    folder, policy, *secret = sys.argv[1:]
    manifest = load_bundle(Path(folder)).manifest
    guard = Guard.of(manifest, policy=policy, secret=Secret.read(Path(secret[0])) if secret else None)
    guard_every_server([GuardedModel(manifest, guard)])

    from mlserver.cli import main

    sys.argv[1:] = ["start", "."]
    main()
