"""Every bound in one table, so that no input can make us read, allocate or wait without end.

Sizes are in bytes. Where a bound is somebody's rule, the rule is named; the rest are ours, far above anything real.
"""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB

# Content. distribution-spec "Pushing Manifests": registries should accept at least 4 MiB, and refuse more.
MANIFEST: Final = 4 * MIB
INDEX_ENTRIES: Final = 10_000
INDEX_DEPTH: Final = 4
REFERRERS: Final = 1_000  # of one image; a list without end is an attack on record (CVE-2023-46737)
REFERRER_PAGES: Final = 50
REFERRER_DEPTH: Final = 3  # the signature of an attestation of a list of parts
REFERRER: Final = 1 * GIB  # of one, with its content; cosign reads 128 MiB at most
BLOB: Final = 2**53 - 1  # the largest integer that every JSON reader agrees on

# What servers say to us.
TOKEN: Final = 64 * KIB
ERROR_BODY: Final = 64 * KIB
HEAD: Final = 64 * KIB  # status line and headers; the HTTP library bounds their number by 100
REALM_URL: Final = 2 * KIB
REDIRECTS: Final = 5
CREDENTIAL_SECONDS: Final = 60.0  # that a credential plugin may take; some open a browser
PODS_PAGE: Final = 500  # objects that a cluster is asked for at a time, as kubectl asks

# Documents.
YAML_FILE: Final = 64 * MIB
YAML_DEPTH: Final = 100
YAML_NODES: Final = 1_000_000  # composed and through aliases: a "billion laughs" ends here
DOCUMENTS: Final = 200_000

# Charts: Helm's own bounds (helm/helm pkg/chart/loader/archive).
CHART_UNPACKED: Final = 100 * MIB
CHART_FILE: Final = 5 * MIB
CHART_FILES: Final = 20_000
RENDER_OUTPUT: Final = 256 * MIB
RENDER_SECONDS: Final = 120

# Bundles.
INVENTORY: Final = 256 * MIB
PARTS: Final = 999  # their numbers have three digits, so that `cat` joins them in order
PARTS_LIST: Final = 1 * MIB
PART_HEAD: Final = 64 * KIB  # of each part is hashed on opening: a part that is not the one meant is seen at once
SIGNATURE: Final = 4 * KIB
KEY_FILE: Final = 64 * KIB
STATE_FILE: Final = 64 * KIB
PASSPHRASE: Final = 4 * KIB

# Streams: what may be in memory of content that cannot be read again.
STREAM_FRONT: Final = 256 * MIB  # manifests and configs, until the last manifest has passed
STREAM_AHEAD: Final = 48 * MIB  # fetched before it is their turn
STREAM_WHOLE: Final = 8 * MIB  # blobs up to this size are handed on whole, so that several are sent at a time
STREAM_HANDED: Final = 24 * MIB  # of those
STREAM_WINDOW: Final = 36 * MIB  # the last of a larger one: a chunk that did not arrive is sent once more

# Container runtimes of this machine. What they do in silence, unpacking or saving a large image, takes minutes.
RUNTIME_ANSWER: Final = 64 * MIB
RUNTIME_ANSWER_SECONDS: Final = 60.0
RUNTIME_STALL_SECONDS: Final = 1800.0

# Transfers. Smaller buffers cost half of the speed (docs/architecture.md, "Speed").
CHUNK: Final = 1 * MIB
WORKERS: Final = 6
WORKERS_MOST: Final = 128
UPLOAD_UNASKED: Final = 64 * KIB  # of which a put costs no more than a question
UPLOAD_WHOLE: Final = 64 * MIB  # goes up in one request: what a broken connection costs again at most
UPLOAD_CHUNK: Final = 32 * MIB  # of what is larger: a request costs milliseconds, a lost chunk is sent again
UPLOAD_CHUNK_SMALL: Final = 4 * MIB  # the most that GHCR takes in a chunk
UPLOAD_CHUNK_LEAST: Final = 64 * KIB  # that a user may ask for; nginx takes 1 MiB unless told otherwise
UPLOAD_CHUNK_MOST: Final = 5 * GIB  # what S3, behind many registries, takes at once
JOURNAL: Final = 16 * MIB
CONNECT_SECONDS: Final = 15.0
STALL_SECONDS: Final = 60.0
TLS_RECORD: Final = 16 * KIB  # RFC 8446 §5.1
STALL_BYTES: Final = 1 * KIB  # a line that carries less in that time stands still
ATTEMPTS: Final = 6  # without progress; any progress starts the count anew
BACKOFF_SECONDS: Final = 1.0
BACKOFF_MOST_SECONDS: Final = 60.0
RETRY_AFTER_MOST_SECONDS: Final = 600.0
SENT_AGAIN: Final = 1 * GIB  # of one blob, by servers that ignore ranges; more is an error instead of a loop

# Buckets. An upload has at most 10,000 parts of 5 MiB or more (Amazon S3 User Guide, "Multipart upload limits").
S3_PART: Final = 8 * MIB
S3_PARTS: Final = 10_000
S3_BUFFERS: Final = 3  # parts that are in memory at a time, over all blobs
