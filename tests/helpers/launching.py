"""Scripts under Paddle's launcher, as users run them on several processes."""

import os
import subprocess
import sys

from helpers.paths import ROOT


def free_port():
    import socket

    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def launch_nodes(script, nodes, options, log_dir, port):
    """As on that many machines, one process each: a launcher for each, which find each other by the first's address."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    common = [sys.executable, "-m", "paddle.distributed.launch", "--master", f"127.0.0.1:{port}"]
    common += ["--nnodes", str(nodes), "--nproc_per_node", "1"]
    running = []
    for rank in range(nodes):
        own = ["--rank", str(rank), "--log_dir", str(log_dir / str(rank)), script, *options]
        running.append(
            subprocess.Popen(
                [*common, *own], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        )
    try:
        said = [process.communicate(timeout=280)[0] for process in running]
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [0] * nodes, "".join(each[-3000:] for each in said)


def launch(script, processes, options, log_dir, port):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "paddle.distributed.launch", "--nproc_per_node", str(processes)]
    command += ["--master", f"127.0.0.1:{port}", "--log_dir", str(log_dir), script, *options]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done
