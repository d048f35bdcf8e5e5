"""The container runtimes of this machine, through their own programs: docker, podman, ctr, nerdctl.

Source of every argv and answer: docs.docker.com "docker image", podman-load(1), podman-save(1), `ctr --help` of
containerd 1.6, nerdctl's docs/command-reference.md.
"""
