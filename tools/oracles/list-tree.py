"""List a directory tree as JSON lines: parents before children, siblings in byte order.

usage: list-tree.py DIRECTORY

Deliberately shares nothing with the code that it judges. Names and link targets are byte strings,
one character a byte. The last line is {"end": number of entries}.
"""

import hashlib
import json
import os
import stat
import sys

TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}


def text(name):
    return name.decode("latin-1")


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def xattrs(path):
    names = sorted(os.fsencode(name) for name in os.listxattr(path, follow_symlinks=False))
    return {text(name): os.getxattr(path, name, follow_symlinks=False).hex() for name in names}


class Lister:
    def __init__(self):
        # (device, inode) of files with several names -> (first path, content hash)
        self.first_names = {}
        self.count = 0

    def record(self, path):
        # the root is the working directory: a path below it may be as long as the kernel allows
        real = path or b"."
        status = os.lstat(real)
        kind = TYPES[stat.S_IFMT(status.st_mode)]
        link_of, digest = None, None
        identity = (status.st_dev, status.st_ino)
        several = status.st_nlink > 1 and kind != "directory"
        if several and identity in self.first_names:
            link_of, digest = self.first_names[identity]
        else:
            if kind == "file":
                digest = sha256(real)
            if several:
                self.first_names[identity] = (text(path), digest)
        device = kind in ("char", "block")
        self.count += 1
        return kind, {
            "path": text(path),
            "type": kind,
            "mode": stat.S_IMODE(status.st_mode),
            "uid": status.st_uid,
            "gid": status.st_gid,
            # what a directory occupies is the file system's own affair
            "size": 0 if kind == "directory" else status.st_size,
            "mtime": str(status.st_mtime_ns),
            "rdev": f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}" if device else None,
            "target": text(os.readlink(real)) if kind == "symlink" else None,
            "links": status.st_nlink,
            "linkOf": link_of,
            "xattrs": xattrs(real),
            "sha256": digest,
        }

    def walk(self):
        pending = [b""]
        while pending:
            path = pending.pop()
            kind, record = self.record(path)
            yield record
            if kind == "directory":
                names = sorted(os.listdir(path or b"."), reverse=True)
                pending.extend(path + b"/" + name if path else name for name in names)


def main():
    os.chdir(os.fsencode(sys.argv[1]))
    lister = Lister()
    for record in lister.walk():
        sys.stdout.write(json.dumps(record, separators=(",", ":")) + "\n")
    sys.stdout.write(json.dumps({"end": lister.count}) + "\n")


main()
