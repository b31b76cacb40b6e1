"""Another server with the guard inside: `guarded_host.py BUNDLE POLICY SECRET|- PROGRAM WORD...`.

MLServer and KServe make their gRPC servers themselves and let nobody add an interceptor, so the guard is there before they are
imported.
"""

import runpy
import sys
from pathlib import Path

from grpc_api.inside import GuardedModel, guard_every_server
from guard.bundle import load_bundle
from guard.guard import Guard
from guard.secret import Secret

if __name__ == "__main__":
    _, folder, policy, secret, *command = sys.argv
    manifest = load_bundle(Path(folder)).manifest
    guard = Guard.of(manifest, policy=policy, secret=None if secret == "-" else Secret.read(Path(secret)))
    guard_every_server([GuardedModel(manifest, guard)])

    sys.argv = command
    runpy.run_path(command[0], run_name="__main__")
