#!/usr/bin/env python3
"""Runs the steps of deploy/Dockerfile without Docker, in Debian 12 roots made by debootstrap, and then the images against each other:
the origin's daemon, and two regions' jobs by their entrypoint, with the lock in a real S3 server.

    tests/deploy/images.py [--keep FOLDER]

Takes some ten minutes and 3 GB, and needs root, debootstrap and the network: not part of check.sh. FOLDER keeps the roots, and the next
call goes on with them. What this machine needs to reach its package registries goes into the roots: /etc/apt, resolv.conf,
CA certificates, ~/.npmrc, the proxy variables.
"""
import argparse
import json
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.dirname(HERE))
os.environ.setdefault("LOCKSTEP_SOURCE", SOURCE)
sys.dont_write_bytecode = True

INSIDE = "LOCKSTEP_IMAGES_INSIDE"
IMAGES = {"debian:12-slim": "bookworm"}
CARRIED = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE")


def run(*words, **kwargs):
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL, **kwargs)


def instructions(path):
    """(word, rest) of each instruction, continued lines joined, comments left out."""
    with open(path, encoding="utf-8") as file:
        text = "\n".join(line for line in file.read().split("\n") if not line.lstrip().startswith("#"))
    for line in text.replace("\\\n", " ").split("\n"):
        if line.strip():
            word, rest = line.strip().split(None, 1)
            yield word, rest


class Stage:
    """What one FROM begins: a root, and what the image is started with."""

    def __init__(self, root):
        self.root, self.folder, self.entrypoint, self.command = root, "/", [], []

    def path(self, name):
        return self.root + os.path.normpath(os.path.join(self.folder, name))

    def chroot(self, words, env=None, cwd=None, **kwargs):
        env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8", **(env or {}),
               **{name: os.environ[name] for name in CARRIED if name in os.environ}}
        script = f"cd {shlex.quote(cwd or self.folder)} && exec {shlex.join(words)}"
        return subprocess.Popen(["chroot", self.root, "/bin/sh", "-c", script], env=env, **kwargs)

    def mount(self):
        for name in ("proc", "dev"):
            run("mount", "--rbind", "/" + name, os.path.join(self.root, name))

    def unmount(self):
        for name in ("proc", "dev"):
            run("umount", "-l", os.path.join(self.root, name))


def mirror(release):
    """The first one that this machine's apt uses."""
    done = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", f"Codename: {release}"],
                          stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.split("\n", maxsplit=1)[0]


class Builder:
    """Follows a Dockerfile. is_built: the roots below the folder are as it would make them, and stay as they are."""

    def __init__(self, folder, is_built):
        self.folder, self.is_built = folder, is_built
        self.stages = {}

    def base(self, image):
        root = os.path.join(self.folder, "base-" + IMAGES[image])
        if not os.path.exists(root):
            run("debootstrap", "--variant=minbase", IMAGES[image], root + ".new", mirror(IMAGES[image]))
            for name in ("/etc/apt", "/etc/resolv.conf", "/etc/ssl/certs", "/usr/local/share/ca-certificates", os.path.expanduser("~/.npmrc")):
                if os.path.exists(name):
                    target = root + ".new" + (name if not name.endswith(".npmrc") else "/root/.npmrc")
                    os.makedirs(os.path.dirname(target), exist_ok=True)
                    run("cp", "-aLT", name, target)
            os.rename(root + ".new", root)
        return root

    def start_stage(self, rest):
        image, _, name = rest.partition(" AS ")
        parent = self.stages.get(image)
        stage = self.stages[name] = Stage(os.path.join(self.folder, "stage-" + name))
        if parent:
            stage.folder, stage.entrypoint, stage.command = parent.folder, parent.entrypoint, parent.command
        if not self.is_built:
            if os.path.exists(stage.root):
                shutil.rmtree(stage.root)
            run("cp", "-a", "--reflink=auto", parent.root if parent else self.base(image), stage.root)
        return stage

    def copy(self, stage, rest):
        words = rest.split()
        source = SOURCE
        if words[0].startswith("--from="):
            source = self.stages[words.pop(0)[len("--from="):]].root
        *names, target = words
        os.makedirs(stage.path(target) if target.endswith("/") or target == "." else os.path.dirname(stage.path(target)), exist_ok=True)
        for name in names:
            if source == SOURCE and name == ".":  # what git has, which is what a clean checkout would send
                files = subprocess.run(["git", "-C", SOURCE, "ls-files", "-z"], check=True, stdout=subprocess.PIPE).stdout
                archive = subprocess.run(["tar", "-c", "--null", "-T", "-"], cwd=SOURCE, input=files, check=True, stdout=subprocess.PIPE).stdout
                subprocess.run(["tar", "-x", "-C", stage.path(target)], input=archive, check=True)
            else:
                run("sh", "-c", f"cp -a {source.rstrip('/')}/{name.lstrip('/')} {shlex.quote(stage.path(target))}")

    def change_root(self, stage, word, rest):
        if word == "WORKDIR":
            os.makedirs(stage.path("."), exist_ok=True)
        elif word == "VOLUME":
            os.makedirs(stage.path(rest), exist_ok=True)
        elif word == "COPY":
            self.copy(stage, rest)
        elif word == "RUN":
            stage.mount()
            try:
                if stage.chroot(["sh", "-c", rest]).wait() != 0:
                    raise SystemExit(f"images.py: this step failed: RUN {rest}")
            finally:
                stage.unmount()

    def build(self, path):
        stage = None
        for word, rest in instructions(path):
            print(f"== {word} {rest}", flush=True)
            if word == "FROM":
                stage = self.start_stage(rest)
            elif word == "WORKDIR":
                stage.folder = rest
            elif word == "ENTRYPOINT":
                stage.entrypoint = json.loads(rest)
            elif word == "CMD":
                stage.command = json.loads(rest)
            elif word not in ("COPY", "RUN", "VOLUME", "EXPOSE"):
                raise SystemExit(f"images.py: {word} is not known here")
            if not self.is_built:
                self.change_root(stage, word, rest)


def fly_environment(folder):
    """The [env] of a fly.toml."""
    import tomllib  # pylint: disable=import-outside-toplevel

    with open(os.path.join(SOURCE, "deploy", folder, "fly.toml"), "rb") as file:
        return tomllib.load(file)["env"]


def follow(name, process, lines):
    for line in process.stdout:
        lines.append(line)
        print(f"   {name}: {line}", end="", flush=True)


def wait_until_healthy(process):
    """As Fly.io's health check would see it. Returns what /healthz says."""
    for _ in range(150):
        try:
            with urllib.request.urlopen("http://127.0.0.1:9091/healthz", timeout=5) as answer:
                return answer.read().decode().strip()
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.2)
    raise SystemExit("images.py: the origin is not healthy")


def try_images(origin, job):
    """The origin's machine, and two machines of the job, as Fly.io would start them."""
    from fixture_s3 import Radosgw  # pylint: disable=import-outside-toplevel

    for name in ("/etc/lockstep", "/work"):  # of an earlier try
        for stage in (origin, job):
            shutil.rmtree(stage.root + name, ignore_errors=True)
    run("chroot", origin.root, "lockstep-origin", "keygen", "/etc/lockstep", "--host", "org-origin.internal", "--client", "scheduler")
    shutil.copytree(origin.root + "/etc/lockstep", job.root + "/etc/lockstep", dirs_exist_ok=True)
    with open(job.root + "/etc/hosts", "w", encoding="ascii") as file:
        file.write("127.0.0.1 localhost org-origin.internal\n")
    database = origin.root + "/data/org.db"
    for name in ("org.db", "org.db-lockstep", "org.db-lockstep-history"):
        if os.path.exists(origin.root + "/data/" + name):
            os.remove(origin.root + "/data/" + name)
    connection = sqlite3.connect(database)
    connection.executescript("PRAGMA journal_mode = WAL; CREATE TABLE runs(region TEXT); CREATE TABLE filler AS SELECT hex(randomblob(4000));")
    connection.close()
    serve = origin.chroot(origin.entrypoint + origin.command, env=fly_environment("origin"), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    threading.Thread(target=follow, args=("origin", serve, []), daemon=True).start()
    print(f"   healthz: {wait_until_healthy(serve)}")
    with Radosgw(buckets=["org-bucket"]) as bucket:
        jobs = []
        for region in ("ams", "nrt"):
            env = {**fly_environment("job"), **bucket.environment(), "AWS_REGION": "auto", "BUCKET_NAME": "org-bucket", "FLY_REGION": region,
                   "FLY_APP_NAME": "org-scheduler", "FLY_MACHINE_ID": region + "1", "DATABASE": f"/work/{region}.db"}
            words = job.entrypoint + ["sqlite3", f"/work/{region}.db", f"INSERT INTO runs VALUES ('{region}')"]
            process = job.chroot(words, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            said = []
            thread = threading.Thread(target=follow, args=(region, process, said), daemon=True)
            thread.start()
            jobs.append((region, process, thread, said))
        for region, process, thread, said in jobs:
            status = process.wait(120)
            thread.join()
            for text in ("attempting to acquire", "lock acquired", "synced from", "running the job", "synced to", "lock released"):
                if status != 0 or not any(f"{region}/org-scheduler/{region}1: " in line and text in line for line in said):
                    raise SystemExit(f"images.py: the job of {region} ended with {status}, or did not say '{text}'")
    print(f"   healthz: {wait_until_healthy(serve)}")
    serve.terminate()
    if serve.wait(30) != 0:
        raise SystemExit(f"images.py: the origin ended with {serve.returncode}")
    connection = sqlite3.connect(database)
    rows = sorted(row[0] for row in connection.execute("SELECT region FROM runs"))
    connection.close()
    if rows != ["ams", "nrt"]:
        raise SystemExit(f"images.py: the canonical database has {rows}")
    print("images.py: both images work: two jobs contended, and both are in the canonical database")


def main():
    parser = argparse.ArgumentParser(description="Run deploy/Dockerfile's steps in debootstrap roots, and the images.")
    parser.add_argument("--keep", help="a folder for the roots, which stay there")
    parser.add_argument("--built", action="store_true", help="the roots in FOLDER are up to date")
    options = parser.parse_args()
    if INSIDE not in os.environ:
        os.environ[INSIDE] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, *sys.argv])
    folder = os.path.abspath(options.keep) if options.keep else tempfile.mkdtemp(prefix="lockstep-images-")
    os.makedirs(folder, exist_ok=True)
    try:
        builder = Builder(folder, options.built)
        builder.build(os.path.join(SOURCE, "deploy", "Dockerfile"))
        for name in ("origin", "job"):
            builder.stages[name].mount()
        try:
            try_images(builder.stages["origin"], builder.stages["job"])
        finally:
            for name in ("origin", "job"):
                builder.stages[name].unmount()
    finally:
        if not options.keep:
            with open("/proc/self/mounts", encoding="utf-8") as file:  # nothing is removed through a mount
                if folder not in file.read():
                    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
